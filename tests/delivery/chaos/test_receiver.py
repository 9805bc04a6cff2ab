"""The chaos run's receiver: what it counts, and each bad answer as the wire shows it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from delivery.chaos.stage import Receiver
from tests.waiting import eventually

Told = dict[str, Any]


@pytest.fixture
def told() -> Iterator[Told]:
    argv = [sys.executable, "-m", "delivery.chaos.receiver", "--seed", "7"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.fixture
def receiver(told: Told) -> Receiver:
    return Receiver(told)


def post(receiver: Receiver, webhook_id: str, number: int = 0, most: int = 65_536) -> bytes:
    """The answer's first `most` bytes, or all until the receiver is silent for half a second or hangs up."""
    body = b'{"chaosnumber":"%d"}' % number
    head = f"POST /hook HTTP/1.1\r\nHost: r\r\nwebhook-id: {webhook_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    received = b""
    url = urlsplit(receiver.url)
    with socket.create_connection((url.hostname, url.port or 0), timeout=5) as connection:
        connection.sendall(head.encode() + body)
        connection.settimeout(0.5)
        try:
            while len(received) < most and (block := connection.recv(65_536)):
                received += block
                if received.endswith(b"\r\n\r\n") and b"Content-Length: 2147483648" not in received:
                    break
        except TimeoutError:
            pass
    return received


def counted(receiver: Receiver) -> tuple[int, int]:
    stats = receiver.stats()
    return stats["unique"], stats["duplicates"]


def test_deliveries_are_counted_by_id_and_by_event_when_the_receiver_is_well(receiver: Receiver) -> None:
    for webhook_id, number in (("a", 0), ("b", 0), ("c", 2), ("b", 0)):
        assert post(receiver, webhook_id, number) == b"HTTP/1.1 204 No Content\r\n\r\n"

    assert counted(receiver) == (3, 1)
    assert receiver.stats()["doubled"] == ["b"]
    assert receiver.incomplete(below=4, each=1) == {1, 3}
    assert receiver.incomplete(below=4, each=2) == {1, 2, 3}
    assert receiver.incomplete(below=1, each=2) == set()


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ("fail", b"HTTP/1.1 500 "),
        ("throttle", b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n"),
        ("redirect", b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:"),
        ("hang", b""),
    ],
)
def test_delivery_is_not_taken_when_the_answer_is_bad(receiver: Receiver, act: str, expected: bytes) -> None:
    receiver.set_mood([act], 1.0)
    answer = post(receiver, "a")
    assert answer.startswith(expected)
    assert bool(answer) == bool(expected)
    assert counted(receiver) == (0, 0)
    assert receiver.stats()["acted"] == {act: 1}


def test_connection_is_reset_when_the_receiver_is_to_reset(receiver: Receiver) -> None:
    receiver.set_mood(["reset"], 1.0)
    with pytest.raises(ConnectionResetError):
        post(receiver, "a")
    assert counted(receiver) == (0, 0)


@pytest.mark.parametrize(("act", "most", "least"), [("flood", 1_000_000, 900_000), ("drip", 200, 1)])
def test_delivery_is_taken_exactly_when_the_status_line_of_an_endless_answer_is_a_2xx(
    receiver: Receiver, act: str, most: int, least: int
) -> None:
    receiver.set_mood([act], 1.0)
    answers = [post(receiver, str(number), most=most) for number in range(8)]
    parts = [answer.partition(b"\r\n\r\n") for answer in answers]
    assert all(b"Content-Length: 2147483648" in head and len(body) >= least for head, _, body in parts)
    taken = sum(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert 0 < taken < len(answers)
    assert counted(receiver) == (taken, 0)


def test_connections_are_refused_until_the_mood_changes(receiver: Receiver) -> None:
    url = urlsplit(receiver.url)
    with socket.create_connection((url.hostname, url.port or 0), timeout=5) as kept:
        receiver.set_mood(["refuse"], 1.0)
        assert kept.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            post(receiver, "a")
    receiver.set_mood([], 0.0)
    assert post(receiver, "a").startswith(b"HTTP/1.1 204")
    assert counted(receiver) == (1, 0)


def test_call_is_noted_when_somebody_goes_where_the_redirect_leads(receiver: Receiver, told: Told) -> None:
    assert receiver.stats()["decoy_calls"] == 0
    with socket.create_connection(("127.0.0.2", told["decoy"]), timeout=5):
        eventually(lambda: receiver.stats()["decoy_calls"] == 1)
