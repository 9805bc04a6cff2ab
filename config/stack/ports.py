"""Loopback ports: free ones, and the same ones on the next start."""

from __future__ import annotations

import json
import secrets
import socket
from pathlib import Path

from config.stack.errors import StackError

LOOPBACK = "127.0.0.1"
# Below the range that Linux gives to outgoing connections (32768 up), so that none of them takes a remembered port.
PORTS = range(20_000, 32_000)
TRIES = 200


def is_free(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    """Whether something listens on the port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


class Ports:
    """Names to ports, kept in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, int] = {}
        if file.exists():
            self._known = {str(name): int(port) for name, port in json.loads(file.read_text()).items()}

    def get(self, name: str) -> int:
        """The remembered port if it is still free, otherwise a new one, remembered."""
        port = self._known.get(name)
        if port is None or not is_free(port):
            port = self._pick()
            self._known[name] = port
            self._file.write_text(json.dumps(self._known, indent=1))
        return port

    def _pick(self) -> int:
        taken = set(self._known.values())
        for _ in range(TRIES):
            port = secrets.choice(PORTS)
            if port not in taken and is_free(port):
                return port
        raise StackError(f"no free port found between {PORTS.start} and {PORTS.stop}")
