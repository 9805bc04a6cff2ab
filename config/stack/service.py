"""What every embedded service has in common: one child process, one port, ready when it answers."""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from config.stack.child import POLL_S, Child, Command
from config.stack.errors import PartFailed, StackError

READY_TIMEOUT_S = 60.0


class Service(ABC):
    """Life of one service. `start`, `stop` and `kill` may be called in any order and any number of times; a service
    that is started again has the same port and the same data."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.port = port
        self.child = Child(home, self.name)

    @property
    @abstractmethod
    def url(self) -> str:
        """What clients are given."""

    @abstractmethod
    def command(self) -> Command:
        """The process in the foreground; makes its data directory if there is none."""

    @abstractmethod
    def probe(self) -> None:
        """Does a real exchange as a client; raises when the service does not answer as it should."""

    def start(self) -> None:
        """Returns when the service answers. Raises PartFailed, naming the service."""
        if self.child.is_running():
            return
        self.child.spawn(self.command())
        self._wait_ready()

    def stop(self) -> None:
        self.child.stop(self.stop_signal)

    def kill(self) -> None:
        self.child.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def is_running(self) -> bool:
        return self.child.is_running()

    @property
    def pid(self) -> int | None:
        """Of the process that was started last; None when there was none."""
        return self.child.pid

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                return self.probe()
            except Exception as error:  # each client library has its own errors; the last one is reported
                problem = error
            if (code := self.child.exit_code()) is not None:
                raise PartFailed(self.name, f"ended while starting (exit code {code})", self.child.log)
            if time.monotonic() > deadline:
                self.kill()
                raise PartFailed(self.name, f"did not answer within {READY_TIMEOUT_S:.0f} s: {problem}", self.child.log)
            time.sleep(POLL_S)


def package_directory(package: str, distribution: str) -> Path:
    """Where an installed package lies, found without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"{distribution} is not installed; requirements-dev.txt names it")
    return Path(spec.submodule_search_locations[0])


def plain_environment(**extra: str) -> Mapping[str, str]:
    """The little of our environment that a service needs, so that a stray PGOPTIONS or the like changes nothing."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "JAVA_HOME") if name in os.environ}
    return {**kept, "LC_ALL": "C", **extra}
