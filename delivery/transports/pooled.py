"""A transport for clients that block: a small pool of threads, fed fairly from the lanes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Protocol

from delivery.outcome import Outcome
from delivery.transports.base import Gate, Message, ids_of
from delivery.transports.front import Front
from delivery.transports.lane_engine import FAULT, LaneEngine
from delivery.transports.lanes import Limits

logger = logging.getLogger(__name__)

# Threads that mostly wait for an answer; few, because each that runs takes the interpreter from the webhooks' engine.
THREADS = 16
TIDY_EVERY_S = 1.0


class Sender(Protocol):
    """A channel's way to send one message, waiting for its answer. Called on several threads at once."""

    def send_one(self, message: Message) -> Outcome:
        """Within `message.timeout_s`. An expected failure is an Outcome; an exception is a bug and costs one attempt."""
        ...

    def tidy(self, now: float) -> None:
        """Cut off what is past its deadline, close what has been idle. Every second or so, on the engine's thread, which
        it must not hold up; `now` is monotonic."""
        ...

    def close(self) -> None: ...


def pooled(name: str, make_sender: Callable[[], Sender], gate: Gate, threads: int = THREADS) -> Front:
    """The transport. `make_sender` is called by the first send."""
    limits = Limits(in_flight=threads, in_flight_per_endpoint=max(threads // 2, 1), waiting=500)
    return Front(name, limits, lambda tell_room: PoolEngine(name, limits, gate, tell_room, make_sender()))


class PoolEngine(LaneEngine):
    """As many threads as there was ever in flight at once; the lanes' limit is the pool's size."""

    def __init__(self, name: str, limits: Limits, gate: Gate, tell_room: Callable[[], None], sender: Sender) -> None:
        super().__init__(name, limits, gate, tell_room)
        self._sender = sender
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._tidy_at = 0.0

    def _begin(self, number: int, message: Message) -> None:
        if self._lanes.in_flight > len(self._threads):
            # Daemons: one that hangs in spite of its deadline must not keep the process from ending.
            name = f"{self.name}-{len(self._threads) + 1}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()
        self._jobs.put(partial(self._send, number, message))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _send(self, number: int, message: Message) -> None:
        try:
            outcome = self._sender.send_one(message)
        except Exception:  # this thread's top: a fault costs its message, not the thread
            logger.exception("pooled.send_fault", extra=ids_of(message))
            outcome = FAULT
        self.done(number, outcome)

    def _rest(self, now: float) -> None:
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_EVERY_S
            self._sender.tidy(now)

    def _end(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)
        self._sender.close()
