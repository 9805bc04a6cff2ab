"""Connections to hosts that tenants name: every address is checked, and the one that was checked is connected to.

Webhooks do the same inside libcurl (delivery.transports.webhook.handle).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from delivery.addresses import AddressPolicy
from delivery.outcome import ErrorKind

MAX_WORDS_CHARS = 200


class DialError(Exception):
    """No connection. `words` are for people."""

    def __init__(self, kind: ErrorKind, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words


def dial(host: str, port: int, policy: AddressPolicy, ends_at: float) -> socket.socket:
    """A connected socket, with the time left as its timeout. `ends_at`: monotonic seconds. Raises DialError.

    Addresses that the policy refuses are passed over. The look-up itself ends when the system's resolver gives up.
    """
    addresses = _resolve(host, port)
    allowed = [found for found in addresses if policy.check(str(found[1][0]))]
    if not allowed:
        refusals = "; ".join(f"{found[1][0]} is {policy.refusal(str(found[1][0]))}" for found in addresses)
        raise DialError(ErrorKind.FORBIDDEN_ADDRESS, f"the address is not allowed: {refusals}"[:MAX_WORDS_CHARS])
    problem = DialError(ErrorKind.UNREACHABLE, "the host could not be reached")
    for family, address in allowed:
        try:
            return _connect(family, address, ends_at)
        except DialError as error:
            problem = error
    raise problem


Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


def _resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, Address]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise DialError(ErrorKind.DNS, "the host name could not be resolved") from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _connect(family: socket.AddressFamily, address: Address, ends_at: float) -> socket.socket:
    left_s = ends_at - time.monotonic()
    if left_s <= 0:
        raise DialError(ErrorKind.CONNECT_TIMEOUT, "no connection in time")
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.settimeout(left_s)
        opened.connect(address)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        opened.close()
        raise _dial_error(error) from None
    return opened


def _dial_error(error: OSError) -> DialError:
    if isinstance(error, TimeoutError):
        return DialError(ErrorKind.CONNECT_TIMEOUT, "no connection in time")
    if isinstance(error, ConnectionRefusedError):
        return DialError(ErrorKind.CONNECT_REFUSED, "the connection was refused")
    return DialError(ErrorKind.UNREACHABLE, "the host could not be reached")


class Watch:
    """Ends what goes on beyond its deadline: a peer that sends a byte now and then gets past every socket's timeout."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[object, tuple[float, Callable[[], socket.socket | None]]] = {}

    @contextmanager
    def until(self, ends_at: float, sock: Callable[[], socket.socket | None]) -> Iterator[None]:
        """`sock()`: the socket in use at that moment, None for none."""
        token = object()
        with self._lock:
            self._running[token] = (ends_at, sock)
        try:
            yield
        finally:
            with self._lock:
                del self._running[token]

    def enforce(self, now: float) -> None:
        """Shut down what is overdue; whoever reads from it gets an error at once. Now and then, from any thread."""
        with self._lock:
            overdue = [sock for ends_at, sock in self._running.values() if now >= ends_at]
        for find in overdue:
            found = find()
            if found is not None:
                with suppress(OSError):  # closed meanwhile
                    found.shutdown(socket.SHUT_RDWR)
