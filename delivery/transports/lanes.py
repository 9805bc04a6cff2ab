"""Who goes next: one queue per endpoint, served in turn, so that no endpoint holds another. Pure; `now` is an argument.

The places in flight are shared by dynamic thresholds (Choudhury and Hahne 1998): what a lane may hold depends on what is
left free, so a few endpoints that hang cannot take all. One that has not answered yet gets few, and one that is known to be
slow never the last quarter.

How one thread uses them: `add` what comes in; `start_next` until it gives None, and `finish` what it gave with the kind of
its outcome; every tenth of a second `shed`, and report what that gives back. Sleep no longer than to `next_slot_at`. To
stop, `drain` and report that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import NamedTuple

from delivery.outcome import ErrorKind, Outcome, OutcomeKind, deferred
from delivery.transports.base import Gate, Hold, Message, Record

# libcurl tells only descriptors below 1024, and keeps up to two for each request in flight.
MAX_IN_FLIGHT = 400


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one process holds. `longest_stay_s` after `send` was called every message has started or been deferred."""

    in_flight: int = 256
    in_flight_per_endpoint: int = 32
    # Beyond this, `send` blocks, and with it whoever has the next batch: at a few thousand a second, a tenth of a second.
    waiting: int = 500
    waiting_per_slow_endpoint: int = 100
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

# How late a slot may be used, as a share of a second or of a longer spacing; delivery/limiting/limits.py counts on it.
LATE_SHARE = 0.02
# Slots this near to each other (2,000/s and more) are no moments that a busy process keeps: they only set the pace.
FINE_SPACING_S = 0.0005
# What is late may follow at twice the pace. The limit holds even so: each slot is used once, and hardly late.
CATCH_UP_SHARE = 0.5
# Sleeping is exact to a millisecond; what falls due meanwhile may start together.
TICK_S = 0.002


class Parcel(NamedTuple):
    message: Message
    record: Record
    handed_at: float  # monotonic seconds, when `send` was called


class Refused(NamedTuple):
    """What must not wait here; `hold_s` is how long to hold it, unless `hold` knows better."""

    parcel: Parcel
    hold_s: float
    kind: ErrorKind = ErrorKind.IN_FLIGHT_CAP
    reason: str = "too much waits for this endpoint"
    hold: Hold | None = None

    def outcome(self, epoch_s: float) -> Outcome:
        hold = self.hold
        if hold is None:
            return deferred(self.kind, self.reason, self.hold_s)
        hold_s = hold.until.timestamp() - epoch_s if hold.until else MAX_HOLD_S
        return deferred(hold.kind, hold.reason, max(hold_s, 0.0))


def keeps_time(message: Message) -> bool:
    """Whether it must start within its slot, which is lost when it cannot."""
    return message.start_at > 0.0 and message.spacing_s >= FINE_SPACING_S


def has_missed(message: Message, now: float) -> bool:
    return keeps_time(message) and now - message.start_at > LATE_SHARE * max(message.spacing_s, 1.0)


class Lane:
    """One endpoint's queue and what is known of its speed."""

    __slots__ = (
        "allowed",
        "answers",
        "endpoint_id",
        "in_flight",
        "listed",
        "next_at",
        "pace_s",
        "progress_at",
        "queue",
        "slow_since",
        "stale",
        "timed",
        "wakes_at",
    )

    def __init__(self, endpoint_id: int, allowed: int, now: float) -> None:
        self.endpoint_id = endpoint_id
        self.queue: deque[Parcel] = deque()
        self.in_flight = 0
        self.listed = False  # in the ring of lanes that may start something, or asleep
        self.pace_s = 0.0  # moving average of how long an answer takes; 0.0 until one came
        self.progress_at = now
        self.slow_since: float | None = None
        self.allowed = allowed  # in flight; less than the limit after answers that ask for less
        self.answers = 0  # good ones since `allowed` changed
        self.stale = 0  # in flight since before `allowed` was halved: their answers say nothing about the half
        self.timed = False  # something in the queue has a slot
        self.next_at = 0.0  # no slot is used before
        self.wakes_at = 0.0  # asleep until its next slot; 0.0: awake

    def drain_s(self, now: float, places: int) -> float:
        """How long the queue will take. An endpoint that answers nothing looks slower with every moment."""
        stalled_s = now - self.progress_at if self.in_flight else 0.0
        return len(self.queue) * max(self.pace_s, stalled_s) / places

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

    def insert(self, parcel: Parcel) -> bool:
        """By its slot: batches may come in another order than their slots. True when it is the first now."""
        queue, place = self.queue, len(self.queue)
        while place and queue[place - 1].message.start_at > parcel.message.start_at:
            place -= 1
        queue.insert(place, parcel)
        self.timed = True
        return place == 0

    def use_slot(self, message: Message, now: float) -> None:
        spacing_s = message.spacing_s
        gap_s = spacing_s if spacing_s < FINE_SPACING_S else spacing_s * CATCH_UP_SHARE
        self.next_at = max(message.start_at, self.next_at, now - TICK_S) + gap_s

    def adapt(self, kind: OutcomeKind, most: int) -> None:
        """Additive increase, multiplicative decrease (Chiu and Jain 1989): half on an answer that asks us to slow down, one
        more after each window of good ones."""
        if self.stale:
            self.stale -= 1
        elif kind is OutcomeKind.THROTTLED:
            self.allowed = max(min(self.allowed, self.in_flight + 1) // 2, 1)
            self.stale, self.answers = self.in_flight, 0
        elif kind is OutcomeKind.DELIVERED:
            self.answers += 1
            if self.answers >= self.allowed:
                self.allowed, self.answers = min(self.allowed + 1, most), 0


class Lanes:
    """All the queues. Not safe to share between threads; only `load_of` may be called on others."""

    def __init__(self, limits: Limits, gate: Gate | None = None) -> None:
        self.limits = limits
        self.in_flight = 0
        self.waiting = 0
        self.timed = 0  # of those that wait, how many only wait for their slot; a second's worth at most
        self._gate = gate or Gate()
        self._gate.loads.append(self.load_of)
        self._most = limits.in_flight_per_endpoint
        self._lanes: dict[int, Lane] = {}
        self._ring: deque[Lane] = deque()
        self._asleep: list[tuple[float, int, Lane]] = []  # a heap
        self._numbers = count()
        self._missed: list[Refused] = []  # given back by the next `shed`

    @property
    def next_slot_at(self) -> float:
        """When something falls due by itself (monotonic seconds); inf: nothing does."""
        return self._asleep[0][0] if self._asleep else inf

    def load_of(self, endpoint_id: int) -> int:
        """How many wait or are in flight. On another thread it may count one twice, and never misses one."""
        lane = self._lanes.get(endpoint_id)
        return len(lane.queue) + lane.in_flight if lane is not None else 0

    def add(self, parcel: Parcel, now: float) -> None:
        message = parcel.message
        lane = self._lanes.get(message.endpoint_id)
        if lane is None:
            lane = self._lanes[message.endpoint_id] = Lane(message.endpoint_id, self._most, now)
        self.waiting += 1
        if message.start_at:
            self._add_timed(lane, parcel)
        else:
            lane.queue.append(parcel)
        self._list(lane)

    def _add_timed(self, lane: Lane, parcel: Parcel) -> None:
        message = parcel.message
        self.timed += keeps_time(message)
        if lane.insert(parcel) and lane.wakes_at:
            self._sleep_until(lane, max(message.start_at, lane.next_at))

    def start_next(self, now: float) -> tuple[Lane, Parcel] | None:
        """The next parcel to send, counted as in flight; None when nothing may start now."""
        if self._asleep:
            self._wake(now)
        gate = self._gate
        ordered = bool(gate.held or gate.caps)
        for _ in range(len(self._ring)):
            free = self.limits.in_flight - self.in_flight
            if free <= 0:
                return None
            lane = self._ring.popleft()
            lane.listed = False
            if not lane.queue or ((ordered or lane.timed) and not self._is_let(lane, now)):
                continue  # the slot, an answer or `shed` lists it again
            if self._may_start(lane, free, now):
                return lane, self._start(lane, now)
            self._list(lane)
        return None

    def _is_let(self, lane: Lane, now: float) -> bool:
        """Whether gate and rate limit let the lane start something now."""
        gate, endpoint_id = self._gate, lane.endpoint_id
        if endpoint_id in gate.held:
            return False
        cap = gate.caps.get(endpoint_id)
        if cap is not None and (lane.in_flight >= cap or now >= gate.caps_until):
            return False
        return not lane.timed or self._has_slot(lane, now)

    def _has_slot(self, lane: Lane, now: float) -> bool:
        self._drop_missed(lane, now)
        if not lane.queue:
            return False
        message = lane.queue[0].message
        at = max(message.start_at, lane.next_at)
        if not message.start_at or at <= now:
            return True
        self._sleep_until(lane, at)
        return False

    def _sleep_until(self, lane: Lane, at: float) -> None:
        lane.listed, lane.wakes_at = True, at
        heappush(self._asleep, (at, next(self._numbers), lane))

    def _wake(self, now: float) -> None:
        asleep = self._asleep
        while asleep and asleep[0][0] <= now:
            at, _, lane = heappop(asleep)
            if lane.wakes_at == at:  # else it was woken for an earlier one
                lane.wakes_at = 0.0
                self._ring.append(lane)

    def _drop_missed(self, lane: Lane, now: float) -> None:
        queue = lane.queue
        while queue and has_missed(queue[0].message, now):
            hold_s = min(max(lane.drain_s(now, self._places(lane)), MIN_HOLD_S), MAX_HOLD_S)
            self.timed -= 1
            reason = "its turn within the rate limit was missed"
            self._missed.append(Refused(queue.popleft(), hold_s, ErrorKind.RATE_LIMIT, reason))
        lane.timed = bool(queue)

    def _may_start(self, lane: Lane, free: int, now: float) -> bool:
        most = lane.allowed if lane.pace_s else min(PLACES_BEFORE_FIRST_ANSWER, lane.allowed)
        if lane.in_flight >= most:
            return False
        kept = self.limits.in_flight // 4 if lane.answers_slowly(now) else 0
        return lane.in_flight * FREE_FOR_EACH_HELD < free - kept

    def _start(self, lane: Lane, now: float) -> Parcel:
        if not lane.in_flight:
            lane.progress_at = now
        lane.in_flight += 1  # before it leaves the queue: see `load_of`
        self.in_flight += 1
        self.waiting -= 1
        parcel = lane.queue.popleft()
        if lane.timed:
            self._use_slot(lane, parcel.message, now)
        self._list(lane)
        return parcel

    def _use_slot(self, lane: Lane, message: Message, now: float) -> None:
        if message.start_at:
            lane.use_slot(message, now)
        self.timed -= keeps_time(message)
        lane.timed = bool(lane.queue)

    def _list(self, lane: Lane) -> None:
        if not lane.listed and lane.queue and lane.in_flight < lane.allowed:
            lane.listed = True
            self._ring.append(lane)

    def finish(self, lane: Lane, duration_s: float, now: float, kind: OutcomeKind = OutcomeKind.FAILED) -> None:
        """A parcel that `start_next` gave is done; `kind` is its outcome's."""
        lane.in_flight -= 1
        self.in_flight -= 1
        lane.progress_at = now
        lane.pace_s += (duration_s - lane.pace_s) * (PACE_WEIGHT if lane.pace_s else 1.0)
        if kind is OutcomeKind.THROTTLED or lane.allowed < self._most:
            lane.adapt(kind, self._most)
        self._list(lane)

    def shed(self, now: float) -> list[Refused]:
        """Take out what should not wait here: what is for endpoints that are held, the newest of slow endpoints' queues, and
        what has waited too long or missed its slot."""
        refused: list[Refused] = []
        for lane in self._lanes.values():
            if lane.queue:
                self._shed_lane(lane, now, refused)
                self._list(lane)  # what held it back may be over
        refused += self._missed
        self._missed = []
        self.waiting -= len(refused)
        self._forget_idle_lanes()
        return refused

    def _shed_lane(self, lane: Lane, now: float, refused: list[Refused]) -> None:
        hold = self._gate.held.get(lane.endpoint_id)
        if hold is not None:
            refused += [Refused(parcel, 0.0, hold=hold) for parcel in self._emptied(lane)]
            return
        if lane.timed:
            self._drop_missed(lane, now)
        limits, queue = self.limits, lane.queue
        drain_s = lane.drain_s(now, self._places(lane))
        hold_s = min(max(drain_s, MIN_HOLD_S), MAX_HOLD_S)
        while queue and now - queue[0].handed_at >= limits.longest_stay_s:
            self.timed -= keeps_time(queue[0].message)
            refused.append(Refused(queue.popleft(), hold_s))
        if lane.timed and queue and keeps_time(queue[-1].message):
            return  # it waits for its slot, which says nothing about the endpoint
        if lane.is_slow(drain_s > limits.patience_s, now):
            allowed = min(limits.waiting_per_slow_endpoint, max(limits.waiting - self.waiting, 0))
            while len(queue) > allowed:
                refused.append(Refused(queue.pop(), hold_s))
                self.timed -= keeps_time(refused[-1].parcel.message)

    def _places(self, lane: Lane) -> int:
        return max(min(lane.allowed, self._gate.caps.get(lane.endpoint_id, lane.allowed)), 1)

    def _emptied(self, lane: Lane) -> list[Parcel]:
        parcels = list(lane.queue)
        lane.queue.clear()
        self.timed -= sum(keeps_time(parcel.message) for parcel in parcels)
        return parcels

    def _forget_idle_lanes(self) -> None:
        if len(self._lanes) > MAX_IDLE_LANES:
            self._lanes = {key: lane for key, lane in self._lanes.items() if lane.queue or lane.in_flight}

    def drain(self) -> list[Parcel]:
        """Take out everything that waits."""
        parcels = [refused.parcel for refused in self._missed]
        self._missed = []
        for lane in self._lanes.values():
            parcels += self._emptied(lane)
        self.waiting = 0
        return parcels
