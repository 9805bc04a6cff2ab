"""A receiver that costs next to nothing, so that a benchmark measures the sender.

`python -m delivery.bench.sink --port 0 [--delay-ms N]` prints {"port": …, "pid": …} and answers every POST with 204. It counts by
`webhook-id`, and takes the latency from the number after `benchsentus` (epoch microseconds, an extension attribute)
in the request. `GET /stats` answers with JSON, `GET /count` with its cheap part; `POST /reset` forgets everything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import signal
import time
from array import array
from collections.abc import Coroutine
from typing import cast

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
MAX_HEAD_BYTES = 64 * 1024

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
WEBHOOK_ID = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)
SENT_US = re.compile(rb'benchsentus[": ]+(\d{10,18})')


class Tally:
    """What arrived since the last reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.received = 0
        self.ids: set[bytes] = set()
        self.latencies_us = array("q")
        self.first_at = 0.0
        self.last_at = 0.0
        self.cpu_at_reset_s = cpu_s()

    def count(self, head: bytes, request: bytes) -> None:
        now = time.time()
        if not self.received:
            self.first_at = now
        self.last_at = now
        self.received += 1
        found = WEBHOOK_ID.search(head)
        if found:
            self.ids.add(found[1])
        sent = SENT_US.search(request)
        if sent:
            self.latencies_us.append(int(now * 1e6) - int(sent[1]))

    def report(self) -> dict[str, object]:
        unique = len(self.ids)
        return {
            "received": self.received,
            "unique": unique,
            "duplicates": self.received - unique,
            "latency_ms": percentiles_ms(self.latencies_us),
            "first_at": self.first_at,
            "last_at": self.last_at,
            "cpu_s": cpu_s() - self.cpu_at_reset_s,
        }


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def percentiles_ms(values_us: array[int]) -> dict[str, float]:
    """p50, p95, p99 and max by nearest rank; empty when nothing was measured."""
    if not values_us:
        return {}
    ordered = sorted(values_us)
    last = len(ordered) - 1
    marks = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: ordered[round(share * last)] / 1000 for name, share in marks.items()}


def json_answer(content: dict[str, object]) -> bytes:
    body = json.dumps(content).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class SinkProtocol(asyncio.Protocol):
    """Just enough HTTP/1.1: requests with a Content-Length or no body, kept alive, pipelined or not."""

    def __init__(self, tally: Tally, delay_s: float) -> None:
        self.tally = tally
        self.delay_s = delay_s
        self.loop = asyncio.get_running_loop()
        self.pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.pending = self.pending + data if self.pending else data
        answers = []
        while self.pending:
            answer = self.take_request()
            if answer is None:
                break
            answers.append(answer)
        if answers:
            self.answer(b"".join(answers))

    def take_request(self) -> bytes | None:
        """The answer to the first request of `pending`, which is taken off; None while it is not complete."""
        data = self.pending
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return self.refuse() if len(data) > MAX_HEAD_BYTES else None
        head = data[:end]
        length = CONTENT_LENGTH.search(head)
        size = end + 4 + (int(length[1]) if length else 0)
        if len(data) < size:
            return None
        if len(data) == size:
            self.pending = b""
            return self.respond(head, data)
        self.pending = data[size:]
        return self.respond(head, data[:size])

    def refuse(self) -> bytes:
        self.pending = b""
        return BAD_REQUEST

    def respond(self, head: bytes, request: bytes) -> bytes:
        if head.startswith(b"GET /stats "):
            return json_answer(self.tally.report())
        if head.startswith(b"GET /count "):
            return json_answer({"received": self.tally.received, "unique": len(self.tally.ids)})
        if head.startswith(b"POST /reset "):
            self.tally.reset()
        elif head.startswith(b"POST "):
            self.tally.count(head, request)
        return NO_CONTENT

    def answer(self, data: bytes) -> None:
        if self.delay_s:
            self.loop.call_later(self.delay_s, self.transport.write, data)
        else:
            self.transport.write(data)


async def serve(host: str, port: int, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    tally = Tally()
    server = await loop.create_server(lambda: SinkProtocol(tally, delay_s), host, port, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "pid": os.getpid()}), flush=True)
    await stop.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    options = parser.parse_args()
    run_job(serve(options.host, options.port, options.delay_ms / 1000))


def run_job(job: Coroutine[object, object, None]) -> None:
    """On uvloop where it is installed: twice as fast."""
    try:
        from uvloop import run  # a development dependency only
    except ImportError:
        asyncio.run(job)
    else:
        run(job)


if __name__ == "__main__":
    main()
