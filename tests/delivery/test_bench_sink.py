from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from delivery.bench.floor import measure
from delivery.bench.sink import percentiles_ms


@pytest.fixture
def sink() -> Iterator[str]:
    argv = [sys.executable, "-m", "delivery.bench.sink", "--port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())
        assert started["pid"] == process.pid
        yield f"http://127.0.0.1:{started['port']}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def exchange(url: str, data: bytes, answers: int = 1) -> bytes:
    """Send `data` in small pieces, as the network may, and read until `answers` answers are in."""
    received = b""
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port or 0), timeout=10) as connection:
        for start in range(0, len(data), 50):
            connection.sendall(data[start : start + 50])
        while received.count(b"HTTP/1.1") < answers:
            received += connection.recv(65_536)
    return received


def stats(url: str) -> dict[str, Any]:
    received = exchange(url, b"GET /stats HTTP/1.1\r\nHost: sink\r\n\r\n")
    report: dict[str, Any] = json.loads(received.partition(b"\r\n\r\n")[2])
    return report


def post(webhook_id: str, body: bytes = b"{}") -> bytes:
    head = f"POST /hook HTTP/1.1\r\nHost: sink\r\nWebhook-Id: {webhook_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_pipelined_and_split_requests_are_counted_by_id(sink: str) -> None:
    assert exchange(sink, post("a") + post("b", b"\r\n\r\nPOST ") + post("a"), 3).count(b"204 No Content") == 3
    report = stats(sink)
    assert (report["received"], report["unique"], report["duplicates"]) == (3, 2, 1)
    assert report["latency_ms"] == {}


@pytest.mark.parametrize("marker", ['"benchsentus":"%d"', '"benchsentus": %d'])
def test_latency_comes_from_the_marker(sink: str, marker: str) -> None:
    exchange(sink, post("a", (marker % int((time.time() - 2) * 1e6)).encode()))
    assert 1_900 < stats(sink)["latency_ms"]["p99"] < 60_000


def test_reset_forgets(sink: str) -> None:
    exchange(sink, post("a") + b"POST /reset HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 2)
    assert stats(sink)["received"] == 0


def test_floor_sends_what_it_is_asked_to(sink: str) -> None:
    measured = measure(sink + "/floor", requests=200, in_flight=8)
    assert measured["failed"] == 0
    assert measured["requests_per_s"] > 0
    assert stats(sink)["unique"] == 200 + 8 * 4


def test_percentiles_are_nearest_ranks() -> None:
    assert percentiles_ms(array("q")) == {}
    assert percentiles_ms(array("q", range(0, 101_000, 1000))) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
