"""Keeps the application's processes running: names the one that died, starts it again, stops them all in time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from config.stack.child import Child, Command
from config.stack.errors import PartFailed, StackError, log_tail
from config.stack.service import Service

FIRST_RESTART_S = 1.0
LONGEST_RESTART_S = 30.0
# A process that lived this long has its next restart at once again, not after the last one's doubled wait.
SETTLED_AFTER_S = 60.0
STOP_WAIT_S = 6.0

Say = Callable[[str], None]


@dataclass
class Backoff:
    """When a part may be started again; times are of the monotonic clock."""

    wait_s: float = FIRST_RESTART_S
    started_at: float = 0.0
    due_at: float | None = None

    def died(self, now: float) -> float:
        """Plans the restart and returns how long it waits."""
        if now - self.started_at > SETTLED_AFTER_S:
            self.wait_s = FIRST_RESTART_S
        wait = self.wait_s
        self.due_at = now + wait
        self.wait_s = min(self.wait_s * 2, LONGEST_RESTART_S)
        return wait

    def started(self, now: float) -> None:
        self.started_at, self.due_at = now, None


class Supervisor:
    """The processes of the application, and the services below them, which are started by somebody else."""

    def __init__(self, commands: dict[Child, Command], services: Iterable[Service], say: Say) -> None:
        self._commands = commands
        self._services = list(services)
        self._say = say
        names = [*(child.name for child in commands), *(service.name for service in self._services)]
        self._backoffs = {name: Backoff() for name in names}

    def start(self) -> None:
        for child, command in self._commands.items():
            child.spawn(command)
            self._backoffs[child.name].started(time.monotonic())

    def check_start(self) -> None:
        """Raises PartFailed when a process has ended already."""
        for child in self._commands:
            if not child.is_running():
                raise PartFailed(child.name, f"ended while starting (exit code {child.exit_code()})", child.log)

    def look(self) -> None:
        """Starts again what has died, each after its own growing wait. To be called all the time."""
        for service in self._services:
            self._look_at(service.child, service.start)
        for child, command in self._commands.items():
            self._look_at(child, lambda child=child, command=command: child.spawn(command))  # type: ignore[misc]

    def _look_at(self, child: Child, start: Callable[[], None]) -> None:
        if child.is_running():
            return
        now = time.monotonic()
        backoff = self._backoffs[child.name]
        if backoff.due_at is None:
            wait = backoff.died(now)
            self._say(f"{child.name} ended (exit code {child.exit_code()}); starts again in {wait:.0f} s")
            self._say(log_tail(child.log))
        elif now >= backoff.due_at:
            self._restart(child, start, backoff)

    def _restart(self, child: Child, start: Callable[[], None], backoff: Backoff) -> None:
        backoff.started(time.monotonic())
        try:
            start()
        except StackError as error:
            self._say(f"{error}")
        else:
            self._say(f"{child.name} was started again")

    def stop(self) -> None:
        """Asks all at once, then waits for all together: the slowest one sets the time."""
        for child in self._commands:
            child.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_WAIT_S
        for child in self._commands:
            left = max(0.0, deadline - time.monotonic())
            if not child.stop(timeout_s=left):
                self._say(f"{child.name} did not stop within {STOP_WAIT_S:.0f} s and was killed")
