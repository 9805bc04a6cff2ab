"""Who goes next: one queue per endpoint, served in turn, so that no endpoint holds another. Pure; `now` is an argument.

The places in flight are shared by dynamic thresholds (Choudhury and Hahne 1998): what a lane may hold depends on what is
left free, so a few endpoints that hang cannot take all. One that has not answered yet gets few, and one that is known to be
slow never the last quarter.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from delivery.transports.base import Message, Record

# libcurl tells only descriptors below 1024, and keeps up to two for each request in flight.
MAX_IN_FLIGHT = 400


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one process holds. `longest_stay_s` after `send` was called every message has started or been deferred."""

    in_flight: int = 256
    in_flight_per_endpoint: int = 32
    waiting: int = 2000  # beyond this, `send` blocks
    waiting_per_slow_endpoint: int = 400
    patience_s: float = 2.0  # a queue that takes longer than this to drain is slow
    longest_stay_s: float = 30.0

    def __post_init__(self) -> None:
        if not 1 <= self.in_flight_per_endpoint <= self.in_flight <= MAX_IN_FLIGHT:
            raise ValueError(f"in flight: 1 <= per endpoint <= in all <= {MAX_IN_FLIGHT}")


# A lane with n in flight needs more than this many times n free; 32 of 256 still fit for an endpoint that is alone.
FREE_FOR_EACH_HELD = 4
PLACES_BEFORE_FIRST_ANSWER = 4
SLOW_ANSWER_S = 1.0
# Bounds for the hold suggested with a deferral: less is not worth a write, more would leave a recovered endpoint idle.
MIN_HOLD_S = 1.0
MAX_HOLD_S = 60.0
# How much the newest duration moves the pace; half a dozen answers tell a change of speed.
PACE_WEIGHT = 0.2
# Callers of `send` may be held this long by a new endpoint that answers nothing.
SLOW_AFTER_S = 0.5
# Idle lanes are kept for the pace they remember, up to this many.
MAX_IDLE_LANES = 1024


class Parcel(NamedTuple):
    message: Message
    record: Record
    handed_at: float  # monotonic seconds, when `send` was called


class Refused(NamedTuple):
    parcel: Parcel
    hold_s: float


class Lane:
    """One endpoint's queue and what is known of its speed."""

    __slots__ = ("endpoint_id", "in_flight", "listed", "pace_s", "progress_at", "queue", "slow_since")

    def __init__(self, endpoint_id: int, now: float) -> None:
        self.endpoint_id = endpoint_id
        self.queue: deque[Parcel] = deque()
        self.in_flight = 0
        self.listed = False  # in the ring of lanes that may start something
        self.pace_s = 0.0  # moving average of how long an answer takes; 0.0 until one came
        self.progress_at = now
        self.slow_since: float | None = None

    def drain_s(self, limits: Limits, now: float) -> float:
        """How long the queue will take. An endpoint that answers nothing looks slower with every moment."""
        stalled_s = now - self.progress_at if self.in_flight else 0.0
        return len(self.queue) * max(self.pace_s, stalled_s) / limits.in_flight_per_endpoint

    def answers_slowly(self, now: float) -> bool:
        stalled = self.in_flight > 0 and now - self.progress_at >= SLOW_ANSWER_S
        return stalled or self.pace_s >= SLOW_ANSWER_S

    def is_slow(self, looks_slow: bool, now: float) -> bool:
        """True when the lane has looked slow for SLOW_AFTER_S: a pause of our own process looks the same for a moment."""
        if not looks_slow:
            self.slow_since = None
        elif self.slow_since is None:
            self.slow_since = now
        return self.slow_since is not None and now - self.slow_since >= SLOW_AFTER_S


class Lanes:
    """All the queues. Not safe to share between threads."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.in_flight = 0
        self.waiting = 0
        self._lanes: dict[int, Lane] = {}
        self._ring: deque[Lane] = deque()

    def add(self, parcel: Parcel, now: float) -> None:
        endpoint_id = parcel.message.endpoint_id
        lane = self._lanes.get(endpoint_id)
        if lane is None:
            lane = self._lanes[endpoint_id] = Lane(endpoint_id, now)
        lane.queue.append(parcel)
        self.waiting += 1
        self._list(lane)

    def start_next(self, now: float) -> tuple[Lane, Parcel] | None:
        """The next parcel to send, counted as in flight; None when nothing may start now."""
        for _ in range(len(self._ring)):
            free = self.limits.in_flight - self.in_flight
            if free <= 0:
                return None
            lane = self._ring.popleft()
            lane.listed = False
            if lane.queue and self._may_start(lane, free, now):
                return lane, self._start(lane, now)
            self._list(lane)
        return None

    def _may_start(self, lane: Lane, free: int, now: float) -> bool:
        if not lane.pace_s and lane.in_flight >= PLACES_BEFORE_FIRST_ANSWER:
            return False
        kept = self.limits.in_flight // 4 if lane.answers_slowly(now) else 0
        return lane.in_flight * FREE_FOR_EACH_HELD < free - kept

    def _start(self, lane: Lane, now: float) -> Parcel:
        if not lane.in_flight:
            lane.progress_at = now
        lane.in_flight += 1
        self.in_flight += 1
        self.waiting -= 1
        parcel = lane.queue.popleft()
        self._list(lane)
        return parcel

    def _list(self, lane: Lane) -> None:
        if not lane.listed and lane.queue and lane.in_flight < self.limits.in_flight_per_endpoint:
            lane.listed = True
            self._ring.append(lane)

    def finish(self, lane: Lane, duration_s: float, now: float) -> None:
        """A parcel that `start_next` gave is done."""
        lane.in_flight -= 1
        self.in_flight -= 1
        lane.progress_at = now
        lane.pace_s += (duration_s - lane.pace_s) * (PACE_WEIGHT if lane.pace_s else 1.0)
        self._list(lane)

    def shed(self, now: float) -> list[Refused]:
        """Take out what should not wait here: the newest of slow endpoints' queues, and what has waited too long."""
        refused: list[Refused] = []
        for lane in self._lanes.values():
            if lane.queue:
                self._shed_lane(lane, now, refused)
        self.waiting -= len(refused)
        self._forget_idle_lanes()
        return refused

    def _shed_lane(self, lane: Lane, now: float, refused: list[Refused]) -> None:
        limits, queue = self.limits, lane.queue
        drain_s = lane.drain_s(limits, now)
        hold_s = min(max(drain_s, MIN_HOLD_S), MAX_HOLD_S)
        while queue and now - queue[0].handed_at >= limits.longest_stay_s:
            refused.append(Refused(queue.popleft(), hold_s))
        if lane.is_slow(drain_s > limits.patience_s, now):
            allowed = min(limits.waiting_per_slow_endpoint, max(limits.waiting - self.waiting, 0))
            while len(queue) > allowed:
                refused.append(Refused(queue.pop(), hold_s))

    def _forget_idle_lanes(self) -> None:
        if len(self._lanes) > MAX_IDLE_LANES:
            self._lanes = {key: lane for key, lane in self._lanes.items() if lane.queue or lane.in_flight}

    def drain(self) -> list[Parcel]:
        """Take out everything that waits."""
        parcels = [parcel for lane in self._lanes.values() for parcel in lane.queue]
        for lane in self._lanes.values():
            lane.queue.clear()
        self.waiting = 0
        return parcels
