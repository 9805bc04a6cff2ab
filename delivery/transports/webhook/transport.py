"""The webhook channel: hands messages to the process' one engine, and holds back callers who are faster than it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from delivery.outcome import ErrorKind, Outcome, deferred
from delivery.transports.base import Message, Record
from delivery.transports.lanes import MIN_HOLD_S, Limits
from delivery.transports.webhook.engine import Engine, always
from delivery.transports.webhook.handle import CurlOptions

DEFAULT_CLOSE_S = 20.0
# After its deadline the engine has only values left to report.
JOIN_GRACE_S = 5.0


class WebhookTransport:
    """A Transport. The engine's thread starts with the first `send`, so a process may fork before that.

    `record` is called on the engine's thread, or on the caller's for what is refused at the door.
    """

    def __init__(
        self, options: CurlOptions, limits: Limits | None = None, may_start: Callable[[], bool] = always
    ) -> None:
        """`may_start` is asked on the engine's thread before each request: false while outcomes wait to be recorded."""
        self._options = options
        self._may_start = may_start
        self.limits = limits or Limits()
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._handed = 0

    @property
    def longest_stay_s(self) -> float:
        """From `send` called to the request started or deferred, at most; with the timeout, what a lease must outlast."""
        return self.limits.longest_stay_s

    @property
    def waiting(self) -> int:
        """Messages handed over and not started yet."""
        return self._handed - self._engine.settled if self._engine else 0

    def send(self, messages: Sequence[Message], record: Record) -> None:
        handed_at = time.monotonic()
        refusal = self._admit(messages, record, handed_at)
        if refusal is not None:
            for message in messages:
                record(message, refusal)

    def _admit(self, messages: Sequence[Message], record: Record, handed_at: float) -> Outcome | None:
        """Hand over as soon as there is room; the outcome for all of them when that does not come to pass."""
        with self._room:
            has_room = self._room.wait_for(self._has_room_or_closes, self.limits.longest_stay_s)
            if self._closing:
                return deferred(ErrorKind.SHUTDOWN, "the sender is stopping", MIN_HOLD_S)
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
            self._engine = Engine(self._options, self.limits, self._tell_room, self._may_start)
            self._thread = threading.Thread(target=self._engine.run, name="webhook-engine", daemon=True)
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
