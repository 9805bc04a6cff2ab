"""Who goes next: one queue per endpoint, served in turn, so that no endpoint holds another. Pure; `now` is an argument.

Two pools are shared, places in flight and places to wait, and both by one rule (dynamic thresholds, Choudhury and Hahne
1998): a lane may hold no more of a pool than is left free. However many endpoints hang, there is room for one more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from delivery.transports.base import Message, Record


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one process holds. `longest_stay_s` after `send` was called every message has started or been deferred."""

    in_flight: int = 256
    in_flight_per_endpoint: int = 32
    waiting: int = 2000  # beyond this, `send` blocks
    waiting_per_slow_endpoint: int = 400
    patience_s: float = 2.0  # a queue that takes longer than this to drain is slow
    longest_stay_s: float = 30.0


# Bounds for the hold suggested with a deferral: less is not worth a write, more would leave a recovered endpoint idle.
MIN_HOLD_S = 1.0
MAX_HOLD_S = 60.0
# How much the newest duration moves the pace; half a dozen answers tell a change of speed.
PACE_WEIGHT = 0.2
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

    __slots__ = ("endpoint_id", "in_flight", "listed", "pace_s", "progress_at", "queue")

    def __init__(self, endpoint_id: int, now: float) -> None:
        self.endpoint_id = endpoint_id
        self.queue: deque[Parcel] = deque()
        self.in_flight = 0
        self.listed = False  # in the ring of lanes that may start something
        self.pace_s = 0.0  # moving average of how long an answer takes; 0.0 until one came
        self.progress_at = now

    def drain_s(self, limits: Limits, now: float) -> float:
        """How long the queue will take. An endpoint that answers nothing looks slower with every moment."""
        stalled_s = now - self.progress_at if self.in_flight else 0.0
        return len(self.queue) * max(self.pace_s, stalled_s) / limits.in_flight_per_endpoint


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
            if not lane.queue:
                continue
            if lane.in_flight < free:
                return lane, self._start(lane, now)
            self._list(lane)
        return None

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
        if drain_s > limits.patience_s:
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
