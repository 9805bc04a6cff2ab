"""A receiver in a process of its own that notes when each request came, by the kernel's clock: its own pauses do not count.

`python -m tests.fakes.counting --delay-ms N` prints its port, answers every POST with 204 after N ms, and prints JSON when its
standard input ends: by path the times of arrival (epoch seconds) and how many requests were open at once at the most.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import struct
import subprocess
import sys
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TextIO

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
# socket(7) and include/uapi/asm-generic/socket.h; Python has no name for it.
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("qq")


@dataclass(slots=True)
class Counted:
    """What one path received."""

    at: list[float]
    most_open: int = 0
    open: int = 0


class Counter:
    """All connections, on one thread."""

    def __init__(self, delay_s: float) -> None:
        self.paths: dict[str, Counted] = {}
        self._delay_s = delay_s
        self._selector = selectors.DefaultSelector()
        self._buffers: dict[socket.socket, bytes] = {}
        self._answers: deque[tuple[float, socket.socket, Counted]] = deque()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)  # its connections inherit it
        self.port = int(self._listener.getsockname()[1])

    def run(self, until: TextIO) -> None:
        """Until `until` has something to read."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(until, selectors.EVENT_READ)
        while True:
            wait_s = self._answers[0][0] - time.monotonic() if self._answers else None
            for key, _ in self._selector.select(wait_s):
                if key.fileobj is until:
                    return
                self._accept() if key.fileobj is self._listener else self._read(key.fileobj)  # type: ignore[arg-type]
            for connection, counted in self._due():
                counted.open -= 1
                connection.sendall(NO_CONTENT)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._buffers[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> None:
        data, notes, _, _ = connection.recvmsg(65_536, 64)
        if not data:
            self._selector.unregister(connection)
            connection.close()
            return
        self._buffers[connection] += data
        head, end, rest = self._buffers[connection].partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if not end or len(rest) < length:
            return
        self._buffers[connection] = b""
        self._count(connection, head.split(b" ")[1].decode(), _arrival(notes))

    def _count(self, connection: socket.socket, path: str, at: float) -> None:
        counted = self.paths.setdefault(path, Counted([]))
        counted.at.append(at)
        counted.open += 1
        counted.most_open = max(counted.most_open, counted.open)
        self._answers.append((time.monotonic() + self._delay_s, connection, counted))

    def _due(self) -> Iterator[tuple[socket.socket, Counted]]:
        while self._answers and self._answers[0][0] <= time.monotonic():
            _, connection, counted = self._answers.popleft()
            yield connection, counted


class CountingReceiver:
    """The process. Use it in a `with`; `finish` ends it and gives what it counted."""

    def __init__(self, delay_s: float = 0.0) -> None:
        arguments = [sys.executable, "-m", "tests.fakes.counting", "--delay-ms", str(delay_s * 1000)]
        self._process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def finish(self) -> dict[str, Counted]:
        output, _ = self._process.communicate(timeout=10)
        return {path: Counted(at, most_open) for path, (at, most_open) in json.loads(output).items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def _arrival(notes: Sequence[tuple[int, int, bytes]]) -> float:
    """The kernel stamps nothing in the moment before it knows that somebody wants it."""
    for _, kind, stamp in notes:
        if kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = TIMESPEC.unpack(stamp[: TIMESPEC.size])
            return float(seconds + nanoseconds / 1e9)
    return time.time()


def most_in(times: list[float], window_s: float = 1.0) -> int:
    """The most that came in any window: the end of each window is open."""
    ordered = sorted(times)
    return max((bisect_left(ordered, start + window_s) - index for index, start in enumerate(ordered)), default=0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay-ms", type=float, default=0.0)
    counter = Counter(parser.parse_args().delay_ms / 1000)
    print(counter.port, flush=True)
    counter.run(sys.stdin)
    print(json.dumps({path: [counted.at, counted.most_open] for path, counted in counter.paths.items()}))


if __name__ == "__main__":
    main()
