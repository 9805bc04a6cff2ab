"""What callers see of a channel whose sending happens on a thread of its own: hands over, and holds back who is faster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from delivery.outcome import ErrorKind, Outcome, deferred
from delivery.transports.base import Message, Record
from delivery.transports.lanes import MIN_HOLD_S, Limits

DEFAULT_CLOSE_S = 20.0
# After its deadline an engine has only values left to report.
JOIN_GRACE_S = 5.0


class Engine(Protocol):
    """`run` is the thread, the rest is for others. A round that finds `room_wanted` set clears it and tells that there may
    be room. `settled` counts the messages that no longer wait; `timed` those that only wait for their slot within a rate
    limit: few, and not what should hold others back."""

    room_wanted: bool
    settled: int

    @property
    def timed(self) -> int: ...
    @property
    def in_flight(self) -> int: ...

    def run(self) -> None: ...
    def hand_over(self, messages: Sequence[Message], record: Record, handed_at: float) -> None: ...
    def stop(self, stop_at: float) -> None: ...


class Front:
    """A Transport. The engine and its thread are made by the first `send`, so a process may fork before that."""

    def __init__(self, name: str, limits: Limits, make_engine: Callable[[Callable[[], None]], Engine]) -> None:
        """`make_engine` gets the function by which the engine tells that there may be room."""
        self.name = name
        self.limits = limits
        self._make_engine = make_engine
        self._room = threading.Condition()
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._handed = 0

    @property
    def longest_stay_s(self) -> float:
        """From `send` called to the message started or deferred, at most."""
        return self.limits.longest_stay_s

    @property
    def waiting(self) -> int:
        """Messages handed over and not started yet, but for those that only wait for their slot."""
        return self._handed - self._engine.settled - self._engine.timed if self._engine else 0

    @property
    def in_flight(self) -> int:
        """Messages that were started and have no outcome yet."""
        return self._engine.in_flight if self._engine else 0

    @property
    def is_started(self) -> bool:
        return self._engine is not None

    def send(self, messages: Sequence[Message], record: Record) -> None:
        refusal = self._admit(messages, record, time.monotonic())
        if refusal is not None:
            for message in messages:
                record(message, refusal)

    def _admit(self, messages: Sequence[Message], record: Record, handed_at: float) -> Outcome | None:
        """Hand over as soon as there is room; the outcome for all of them when that does not come to pass."""
        with self._room:
            has_room = self._room.wait_for(self._has_room_or_closes, self.limits.longest_stay_s)
            if self._closing:
                return deferred(ErrorKind.SHUTDOWN, "the sender is stopping", 0.0)
            if not has_room:
                return deferred(ErrorKind.IN_FLIGHT_CAP, "too much waits in this process", MIN_HOLD_S)
            self._handed += len(messages)
            self._running_engine().hand_over(messages, record, handed_at)
            return None

    def _has_room_or_closes(self) -> bool:
        if self._closing or self.waiting < self.limits.waiting:
            return True
        if self._engine is not None:
            self._engine.room_wanted = True
        return False

    def _running_engine(self) -> Engine:
        if self._engine is None:
            self._engine = self._make_engine(self._tell_room)
            self._thread = threading.Thread(target=self._engine.run, name=f"{self.name}-engine", daemon=True)
            self._thread.start()
        return self._engine

    def _tell_room(self) -> None:
        with self._room:
            self._room.notify_all()

    def close(self, deadline_s: float = DEFAULT_CLOSE_S) -> None:
        """Safe to call twice. Returns once every message handed over has been reported."""
        with self._room:
            self._closing = True
            if self._engine is not None:
                self._engine.stop(time.monotonic() + deadline_s)
            self._room.notify_all()
        if self._thread is not None:
            self._thread.join(deadline_s + JOIN_GRACE_S)
