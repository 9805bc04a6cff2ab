"""A decoy that must not be reached, a policy that tells what was asked of it, and a resolver with a tenant's answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any, Self

from delivery.addresses import AddressPolicy, Network

LOOPBACK_CIDRS = ("127.0.0.0/8", "::1/128")


class Decoy:
    """Listens on every address of this machine, IPv4 and IPv6; counts connections, and ends each at once."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._counted = threading.Condition()
        self.connections = 0
        self._thread = threading.Thread(target=self._accept, name="decoy", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._counted:
                self.connections += 1
                self._counted.notify_all()
            connection.close()

    def reached(self, times: int, timeout_s: float = 5.0) -> bool:
        with self._counted:
            return self._counted.wait_for(lambda: self.connections >= times, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


class Fence(AddressPolicy):
    """The real policy's verdicts, each kept; and behind it a fence, so that no packet of a test leaves the machine."""

    def __init__(self, allowed: Iterable[str | Network] = ()) -> None:
        super().__init__(allowed)
        self.refused: list[str] = []
        self.let_through: list[str] = []

    def refusal(self, address: str) -> str:
        reason = super().refusal(address)
        (self.refused if reason else self.let_through).append(address)
        if not reason and not ip_address(address.partition("%")[0]).is_loopback:
            return "outside of this machine"
        return reason


class Resolver:
    """Takes the place of socket.getaddrinfo: addresses and localhost as ever, other names as scripted, one list a look-up,
    the last one for all that follow. Nothing is asked of a name server."""

    def __init__(self, names: dict[str, Sequence[Sequence[str]]] | None = None) -> None:
        self._real = socket.getaddrinfo
        self._names = {name: list(rounds) for name, rounds in (names or {}).items()}
        self.asked: list[str] = []

    def __call__(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        self.asked.append(name)
        if name.lower().rstrip(".") == "localhost":
            return self._real("localhost", port, *args, **kwargs)
        rounds = self._names.get(name)
        if rounds is None:
            return self._real(host, port, *args, **{**kwargs, "flags": socket.AI_NUMERICHOST})
        addresses = rounds.pop(0) if len(rounds) > 1 else rounds[0]
        return [found for address in addresses for found in self._real(address, port, *args, **kwargs)]
