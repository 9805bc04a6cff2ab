"""The thread behind a Front: it alone touches the lanes, starts what may start, and reports what came of it."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from queue import Empty, SimpleQueue

from delivery.outcome import ErrorKind, Outcome, OutcomeKind, deferred
from delivery.transports.base import Gate, Message, Record, ids_of
from delivery.transports.lanes import Lane, Lanes, Limits, Parcel

logger = logging.getLogger(__name__)

# How often queues are looked at for what should not wait here.
SHED_EVERY_S = 0.1
LONGEST_WAIT_S = 1.0
# While the gate is shut: how soon to try it again.
GATE_WAIT_S = 0.005
# A fault that stays must not become a busy loop.
FAULT_PAUSE_S = 0.2

FAULT = Outcome(OutcomeKind.FAILED, error_kind=ErrorKind.INTERNAL, error="the sender had a fault")
CUT_OFF = Outcome(OutcomeKind.FAILED, error_kind=ErrorKind.SHUTDOWN, error="cut off: the sender stopped")


@dataclass(frozen=True, slots=True)
class Flight:
    """A parcel on its way."""

    lane: Lane
    parcel: Parcel
    started_at: float  # epoch seconds
    started: float  # monotonic seconds


class LaneEngine(ABC):
    """`_begin` starts a message; whoever ends it calls `done`, from any thread, once."""

    def __init__(self, name: str, limits: Limits, gate: Gate, tell_room: Callable[[], None]) -> None:
        self.name = name
        self._gate = gate
        self._tell_room = tell_room
        self.room_wanted = False
        self.settled = 0  # messages that no longer wait, ever; written by the engine's thread only
        self._inbox: deque[tuple[Sequence[Message], Record, float]] = deque()
        self._events: SimpleQueue[tuple[int, Outcome] | None] = SimpleQueue()
        self._stop_at: float | None = None
        self._lanes = Lanes(limits, gate)
        self._flights: dict[int, Flight] = {}
        self._numbers = count()
        self._shed_at = 0.0

    @abstractmethod
    def _begin(self, number: int, message: Message) -> None:
        """Start sending; `done(number, outcome)` must follow, at the latest when the message's timeout has passed."""

    @abstractmethod
    def _end(self) -> None:
        """Free what the channel holds. Nothing is in flight any more that anybody waits for."""

    def _rest(self, now: float) -> None:
        """Called every round, for upkeep; `now` is monotonic."""
        return

    # For other threads.

    @property
    def timed(self) -> int:
        """How many only wait for their slot within a rate limit."""
        return self._lanes.timed

    @property
    def in_flight(self) -> int:
        """How many wait for their outcome."""
        return self._lanes.in_flight

    def hand_over(self, messages: Sequence[Message], record: Record, handed_at: float) -> None:
        self._inbox.append((messages, record, handed_at))
        self._events.put(None)

    def stop(self, stop_at: float) -> None:
        """Start nothing more; give up what is still in flight at `stop_at` (monotonic)."""
        self._stop_at = stop_at
        self._events.put(None)

    def done(self, number: int, outcome: Outcome) -> None:
        self._events.put((number, outcome))

    # The engine's thread.

    def run(self) -> None:
        """Until stopped and nothing is left to report."""
        while not self._is_over():
            try:
                self._round()
            except Exception:  # the loop's top: a fault here must cost what is in flight, not the process' sending
                logger.exception("engine.fault", extra={"channel": self.name})
                self._give_up(FAULT)
                time.sleep(FAULT_PAUSE_S)
        self._give_up(CUT_OFF)
        self._end()

    def _is_over(self) -> bool:
        if self._stop_at is None or self._inbox or self._lanes.waiting:
            return False
        return not self._flights or time.monotonic() >= self._stop_at

    def _round(self) -> None:
        now = time.monotonic()
        while self._inbox:
            messages, record, handed_at = self._inbox.popleft()
            for message in messages:
                self._lanes.add(Parcel(message, record, handed_at), now)
        if self._stop_at is not None:
            self._defer_all()
        elif self._lanes.waiting:
            self._start_ready(now)
            self._shed(now)
        self._rest(now)
        if self.room_wanted:
            self.room_wanted = False
            self._tell_room()
        self._take_events(self._wait_s(now))

    def _start_ready(self, now: float) -> None:
        while self._gate.may_start():
            ready = self._lanes.start_next(now)
            if ready is None:
                return
            self.settled += 1
            self._start(*ready)

    def _start(self, lane: Lane, parcel: Parcel) -> None:
        number = next(self._numbers)
        self._flights[number] = Flight(lane, parcel, time.time(), time.monotonic())
        try:
            self._begin(number, parcel.message)
        except Exception:  # whatever one message holds, the others go on
            logger.exception("engine.begin_fault", extra=ids_of(parcel.message))
            self._finish(number, FAULT)

    def _shed(self, now: float) -> None:
        if now < self._shed_at:
            return
        self._shed_at = now + SHED_EVERY_S
        for refused in self._lanes.shed(now):
            self._settle(refused.parcel, refused.outcome(time.time()))

    def _defer_all(self) -> None:
        for parcel in self._lanes.drain():
            self._settle(parcel, deferred(ErrorKind.SHUTDOWN, "the sender is stopping", 0.0))

    def _take_events(self, timeout_s: float) -> None:
        """Report what has ended; waits for a first event only."""
        try:
            event = self._events.get(timeout=timeout_s) if timeout_s > 0 else self._events.get_nowait()
            while True:
                if event is not None:
                    self._finish(*event)
                event = self._events.get_nowait()
        except Empty:
            return

    def _wait_s(self, now: float) -> float:
        if self._stop_at is not None:
            return min(max(self._stop_at - now, 0.0), LONGEST_WAIT_S) if self._flights else 0.0
        if not self._lanes.waiting:
            return LONGEST_WAIT_S
        until_slot_s = max(self._lanes.next_slot_at - time.monotonic(), 0.0)
        return min(SHED_EVERY_S, until_slot_s) if self._gate.may_start() else GATE_WAIT_S

    def _finish(self, number: int, outcome: Outcome) -> None:
        """A flight that was given up already is reported; what came of it later is nobody's any more."""
        flight = self._flights.pop(number, None)
        if flight is None:
            return
        now = time.monotonic()
        took_s = now - flight.started
        self._lanes.finish(flight.lane, took_s, now, outcome.kind)
        if outcome.spends_attempt and not outcome.started_at:
            outcome = replace(outcome, started_at=flight.started_at, duration_ms=took_s * 1000)
        self._report(flight.parcel, outcome)

    def _give_up(self, outcome: Outcome) -> None:
        for number in list(self._flights):
            self._finish(number, outcome)

    def _settle(self, parcel: Parcel, outcome: Outcome) -> None:
        self.settled += 1
        self._report(parcel, outcome)

    def _report(self, parcel: Parcel, outcome: Outcome) -> None:
        try:
            parcel.record(parcel.message, outcome)
        except Exception:  # the caller's fault must not become everyone's; its lease will run out
            logger.exception("engine.record_fault", extra=ids_of(parcel.message))
