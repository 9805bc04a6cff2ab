"""A receiver for chaos runs: it counts what it took, and answers badly when it is told to.

`python -m delivery.chaos.receiver --seed N` prints {"port", "control", "decoy", "pid"}. On `port` it takes webhooks. On
`control`: `GET /stats`; `GET /incomplete?below=N&each=K` lists the events numbered below N that came in fewer than K
deliveries; `GET /window` gives the latencies since the last such call; `POST /mood` takes {"acts": […], "share": 0.0–1.0}:
that share of all requests meets one of the ACTS by chance, and "refuse" among them shuts the port. The redirect leads to
`decoy`, a port on another loopback address, where nobody may ever call.

A delivery counts as taken when a 2xx status line was sent, whatever became of the rest of the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import socket
import struct
from array import array
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from delivery.bench.sink import (
    NO_CONTENT,
    WEBHOOK_ID,
    SinkProtocol,
    Tally,
    json_answer,
    percentiles_ms,
    run_job,
)

HOST = "127.0.0.1"
DECOY_HOST = "127.0.0.2"  # loopback too, and outside what the run's WEBHOOK_ALLOWED_CIDRS allows
NUMBER = re.compile(rb'chaosnumber[": ]+(\d{1,9})')
REFUSE = "refuse"
FLOOD_BYTES = 2 * 1024**3
DRIP_EVERY_S = 1.0
BLOCK = b"z" * 65_536
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, no time: RST
DOUBLED_KEPT = 1_000
# 200 and 500 for what never ends: the status line decides, whatever comes after it.
ENDLESS_STATUSES = (b"200 OK", b"500 Internal Server Error")


class Ledger(Tally):
    """What was taken, by webhook-id and by event number."""

    def reset(self) -> None:
        super().reset()
        self.numbers = array("B")
        self.doubled: list[str] = []
        self.told = 0  # of the latencies, how many /window has given

    def count(self, head: bytes, request: bytes) -> None:
        found = WEBHOOK_ID.search(head)
        is_new = found is not None and found[1] not in self.ids
        super().count(head, request)
        number = NUMBER.search(request)
        if is_new and number:
            self._note(int(number[1]))
        elif found and len(self.doubled) < DOUBLED_KEPT:
            self.doubled.append(found[1].decode("latin-1"))

    def _note(self, number: int) -> None:
        if number >= len(self.numbers):
            self.numbers.extend([0] * (number + 1_000 - len(self.numbers)))
        self.numbers[number] += 1

    def incomplete(self, below: int, each: int) -> list[int]:
        known = min(below, len(self.numbers))
        return [number for number in range(known) if self.numbers[number] < each] + list(range(known, below))

    def window(self) -> dict[str, float]:
        fresh, self.told = self.latencies_us[self.told :], len(self.latencies_us)
        return percentiles_ms(fresh)


class Desk:
    """What the connections share: the ledger, the mood, and the open port."""

    def __init__(self, seed: int) -> None:
        self.ledger = Ledger()
        self.dice = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self.acts: tuple[str, ...] = ()
        self.share = 0.0
        self.flooded_bytes_most = 0
        self.acted: dict[str, int] = {}
        self.decoy_calls = 0
        self.decoy_url = b""
        self.connections: set[HookProtocol] = set()
        self.port = 0
        self._server: asyncio.Server | None = None

    def choose(self) -> str:
        """The act for one request; "" to take it."""
        if not self.acts or self.dice.random() >= self.share:
            return ""
        act = self.dice.choice(self.acts)
        self.acted[act] = self.acted.get(act, 0) + 1
        return act

    async def open(self) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: HookProtocol(self), HOST, self.port, backlog=1024)
            self.port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Who is connected is cut off, who comes is refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            connection.transport.abort()

    async def set_mood(self, acts: list[str], share: float) -> None:
        self.acts, self.share = tuple(act for act in acts if act != REFUSE), share
        if REFUSE in acts:
            self.shut()
        else:
            await self.open()

    def report(self) -> dict[str, object]:
        return {
            **self.ledger.report(),
            "doubled": self.ledger.doubled,
            "acted": self.acted,
            "decoy_calls": self.decoy_calls,
            "flooded_bytes_most": self.flooded_bytes_most,
        }


class HookProtocol(SinkProtocol):
    """Where the webhooks go."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.ledger, 0.0)
        self.desk = desk
        self.paused = False
        self.poured = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.desk.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.desk.connections.discard(self)
        self.desk.flooded_bytes_most = max(self.desk.flooded_bytes_most, self.poured)

    def respond(self, head: bytes, request: bytes) -> bytes:
        act = self.desk.choose()
        if act:
            return ACTS[act](self, head, request)
        self.tally.count(head, request)
        return NO_CONTENT

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.pour()

    def _begin_endless(self, head: bytes, request: bytes, follow: Callable[[], None]) -> bytes:
        status = self.desk.dice.choice(ENDLESS_STATUSES)
        if status.startswith(b"2"):
            self.tally.count(head, request)
        self.loop.call_soon(follow)
        return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, FLOOD_BYTES)

    def flood(self, head: bytes, request: bytes) -> bytes:
        self.poured = 1  # from here on there is a body to be poured
        return self._begin_endless(head, request, self.pour)

    def pour(self) -> None:
        while 0 < self.poured < FLOOD_BYTES and not self.paused and not self.transport.is_closing():
            self.transport.write(BLOCK)
            self.poured += len(BLOCK)

    def drip(self, head: bytes, request: bytes) -> bytes:
        return self._begin_endless(head, request, self.drop)

    def drop(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"x")
            self.loop.call_later(DRIP_EVERY_S, self.drop)

    def reset(self, head: bytes, request: bytes) -> bytes:
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.transport.abort()
        return b""

    def hang(self, head: bytes, request: bytes) -> bytes:
        return b""

    def redirect(self, head: bytes, request: bytes) -> bytes:
        return b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % self.desk.decoy_url

    def fail(self, head: bytes, request: bytes) -> bytes:
        return b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"

    def throttle(self, head: bytes, request: bytes) -> bytes:
        return b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


ACTS: Mapping[str, Callable[[HookProtocol, bytes, bytes], bytes]] = {
    "flood": HookProtocol.flood,
    "drip": HookProtocol.drip,
    "reset": HookProtocol.reset,
    "hang": HookProtocol.hang,
    "redirect": HookProtocol.redirect,
    "fail": HookProtocol.fail,
    "throttle": HookProtocol.throttle,
}


class ControlProtocol(SinkProtocol):
    """Where the run asks and orders."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.ledger, 0.0)
        self.desk = desk

    def respond(self, head: bytes, request: bytes) -> bytes:
        target = urlsplit(head.split(b" ", 2)[1].decode())
        match target.path:
            case "/stats":
                return json_answer(self.desk.report())
            case "/window":
                return json_answer(dict(self.desk.ledger.window()))
            case "/incomplete":
                asked = {name: int(value) for name, value in parse_qsl(target.query)}
                return json_answer({"numbers": self.desk.ledger.incomplete(asked["below"], asked["each"])})
            case "/mood":
                return self.set_mood(request[len(head) + 4 :])
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    def set_mood(self, body: bytes) -> bytes:
        """Answered once the port is open or shut."""
        asked: dict[str, Any] = json.loads(body)
        task = self.loop.create_task(self.desk.set_mood(asked["acts"], float(asked["share"])))
        task.add_done_callback(lambda done: self.answer(json_answer({"error": str(done.exception() or "")})))
        return b""


class DecoyProtocol(asyncio.Protocol):
    """Who connects followed a redirect."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.desk.decoy_calls += 1
        cast("asyncio.Transport", transport).abort()


async def serve(seed: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    desk = Desk(seed)
    decoy = await loop.create_server(lambda: DecoyProtocol(desk), DECOY_HOST, 0)
    control = await loop.create_server(lambda: ControlProtocol(desk), HOST, 0)
    await desk.open()
    decoy_port, control_port = (server.sockets[0].getsockname()[1] for server in (decoy, control))
    desk.decoy_url = f"http://{DECOY_HOST}:{decoy_port}/".encode()
    said = {"port": desk.port, "control": control_port, "decoy": decoy_port, "pid": os.getpid()}
    print(json.dumps(said), flush=True)
    await stop.wait()
    desk.shut()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    run_job(serve(parser.parse_args().seed))


if __name__ == "__main__":
    main()
