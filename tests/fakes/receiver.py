"""A webhook receiver that does what a test tells it, on a real loopback socket.

with Receiver() as receiver:
    receiver.script("/hook", Answer(500), Answer(204))  # one for each request, the last one for all that follow
    ...
    first, second = receiver.wait_for(2)
    assert first.header("webhook-id") == second.header("webhook-id")
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, Self

MAX_REQUEST_BYTES = 16 * 1024 * 1024
BODILESS = frozenset({204, 304})


@dataclass(frozen=True)
class Received:
    """One request as it arrived. `connection` numbers the connections in the order they were accepted, from 1."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def header_map(self) -> dict[str, str]:
        """Lower-case names; of repeated ones the last."""
        return {name.lower(): value for name, value in self.headers}


@dataclass(frozen=True)
class Answer:
    """A whole answer, after `gate` is set if there is one. `close` ends the connection after it."""

    status: int = 204
    headers: Iterable[tuple[str, str]] = ()
    body: bytes = b""
    gate: threading.Event | None = None
    close: bool = False


@dataclass(frozen=True)
class Drip:
    """The status line and headers, then one byte of an endless body every `every_s`; with `headers`, of an endless header."""

    every_s: float = 0.05
    status: int = 200
    headers: bool = False


@dataclass(frozen=True)
class Endless:
    """A body that never ends, as fast as it is taken; with `headers`, header after header instead."""

    status: int = 200
    headers: bool = False


@dataclass(frozen=True)
class Raw:
    """These very bytes, then the connection is closed."""

    data: bytes


@dataclass(frozen=True)
class Reset:
    """The connection is reset (RST) after the request was read."""


@dataclass(frozen=True)
class CloseSilently:
    """The connection is closed after the request was read, without a word."""


Act = Answer | Drip | Endless | Raw | Reset | CloseSilently


def redirect(location: str, status: int = 302) -> Answer:
    return Answer(status, [("Location", location)])


def hang() -> Answer:
    """No answer until the receiver is closed."""
    return Answer(gate=threading.Event())


class Receiver:
    """Answers 204 where nothing is scripted. Safe to use from several threads."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server((host, 0), backlog=256)
        self.host, self.port = self._listener.getsockname()[:2]
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._scripts: dict[str, deque[Act]] = {}
        self._received: list[Received] = []
        self._sockets: set[socket.socket] = set()
        self._connections = 0
        self._threads = [threading.Thread(target=self._accept, name="receiver", daemon=True)]
        self._threads[0].start()

    # What tests use.

    def url(self, path: str = "/") -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}{path}"

    def script(self, path: str, *acts: Act) -> str:
        """What to do with the requests for `path`, in turn; the last act stays. Returns the URL."""
        with self._changed:
            self._scripts[path] = deque(acts)
        return self.url(path)

    @property
    def requests(self) -> list[Received]:
        with self._changed:
            return list(self._received)

    def requests_to(self, path: str) -> list[Received]:
        return [request for request in self.requests if request.path == path]

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        with self._changed:
            return self._connections

    def wait_for(self, count: int, timeout: float = 10.0, path: str | None = None) -> list[Received]:
        """The requests (for `path`) once there are at least `count`; AssertionError when they do not come."""

        def matching() -> list[Received]:
            return [request for request in self._received if path is None or request.path == path]

        with self._changed:
            if not self._changed.wait_for(lambda: len(matching()) >= count, timeout):
                raise AssertionError(f"{len(matching())} of {count} requests came within {timeout} s")
            return matching()

    def close(self) -> None:
        self._closing.set()
        with self._changed:
            acts = [act for script in self._scripts.values() for act in script]
            sockets = [self._listener, *self._sockets]
        for act in acts:
            if isinstance(act, Answer) and act.gate is not None:
                act.gate.set()
        for each in sockets:
            _hang_up(each)
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # The receiver's own threads.

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self._connections += 1
                self._sockets.add(connection)
                number = self._connections
                self._changed.notify_all()
            thread = threading.Thread(target=self._serve, args=(connection, number), name="receiver", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        served = connection
        try:
            if self._tls is not None:
                served = self._tls.wrap_socket(connection, server_side=True)
            self._converse(served, number)
        except OSError:
            pass  # the other side went away, or `close` did
        finally:
            with self._changed:
                self._sockets.discard(connection)
            served.close()

    def _converse(self, connection: socket.socket, number: int) -> None:
        with connection.makefile("rb") as reader:
            while (request := _read_request(reader, number)) is not None:
                with self._changed:
                    self._received.append(request)
                    act = self._next_act(request.path)
                    self._changed.notify_all()
                if not self._perform(connection, act):
                    return

    def _next_act(self, path: str) -> Act:
        script = self._scripts.get(path)
        if not script:
            return Answer()
        return script.popleft() if len(script) > 1 else script[0]

    def _perform(self, connection: socket.socket, act: Act) -> bool:
        """True while the connection goes on."""
        match act:
            case Answer():
                return self._answer(connection, act)
            case Drip():
                self._drip(connection, act)
            case Endless():
                self._flood(connection, act)
            case Raw():
                connection.sendall(act.data)
            case Reset():
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case CloseSilently():
                pass
        return False

    def _answer(self, connection: socket.socket, act: Answer) -> bool:
        if act.gate is not None:
            act.gate.wait()
        length = [] if act.status in BODILESS else [("Content-Length", str(len(act.body)))]
        connection.sendall(_head(act.status, [*length, *act.headers]) + b"\r\n" + act.body)
        return not act.close

    def _drip(self, connection: socket.socket, act: Drip) -> None:
        connection.sendall(
            _head(act.status, [("Content-Length", "1000000")]) + (b"X-Drip: " if act.headers else b"\r\n")
        )
        while not self._closing.wait(act.every_s):
            connection.sendall(b"x")

    def _flood(self, connection: socket.socket, act: Endless) -> None:
        connection.sendall(_head(act.status, []) + (b"" if act.headers else b"\r\n"))
        block = b"X-Flood: %b\r\n" % (b"y" * 500) if act.headers else b"z" * 65_536
        while not self._closing.is_set():
            connection.sendall(block)


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # not connected any more
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers)]
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def _read_request(reader: BinaryIO, number: int) -> Received | None:
    request_line = reader.readline(65_536)
    if not request_line:
        return None
    method, path, _ = request_line.decode("latin-1").split(" ", 2)
    headers = []
    while (line := reader.readline(65_536)) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name, value.strip()))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    body = reader.read(min(length, MAX_REQUEST_BYTES))
    return Received(method, path, tuple(headers), body, number)
