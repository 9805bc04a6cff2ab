"""The circuit breaker of one endpoint, pure: from what was known and what was seen to what is known now.

`now` and the dice are arguments, nothing is changed in place. `Health` has the fields of a Breaker row; who reads and
writes the row, and how one of many processes wins a probe, is delivery.health.breakers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from delivery.models import BreakerState
from delivery.outcome import MAX_RETRY_AFTER_S, ErrorKind, Outcome, OutcomeKind
from delivery.transports.base import Hold

TOO_MANY_REQUESTS = 429
# 4xx that speak of the endpoint as a whole: its credentials (401, 402, 403, 407), its address (404, 405, 421, 426) or its
# time (408, 425). Any other 4xx speaks of the one message; RFC 9110 §15.5.
ENDPOINT_STATUSES = frozenset({401, 402, 403, 404, 405, 407, 408, 421, 425, 426})
# Faults of ours or of the one message: they say nothing about the receiver.
NOT_THE_RECEIVERS = frozenset(
    {
        ErrorKind.INTERNAL,
        ErrorKind.SHUTDOWN,
        ErrorKind.BAD_REQUEST_HEADER,
        ErrorKind.EVENT_EXPIRED,
        ErrorKind.TEMPLATE,
        ErrorKind.UNSIGNED,
    }
)
REASON_CHARS = 200
MAX_OPENINGS = 10_000  # the column is a smallint; two months of probes every 10 minutes
FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When it opens and how long it waits. Settings may change all but the last three."""

    min_count: int = (
        20  # with fewer results a share means little: 20 is a tenth of what resilience4j asks of a window of 100+
    )
    failure_share: float = (
        0.5  # resilience4j's failureRateThreshold (50 %); a receiver that does half its work still works
    )
    window_s: float = 60.0  # one minute: the grain of our counters and of most alert rules
    consecutive: int = 10  # twice Envoy's consecutive_5xx (5): one worker alone has up to 32 requests in flight
    first_wait_s: float = 10.0  # a restart of a small service; well within the 30 s in which faults must be over
    max_wait_s: float = 600.0  # after a long outage nobody should wait for more than 10 minutes
    growth: float = 2.0  # doubling: 10 s, 20 s … 640 s, so the cap comes at the seventh failed probe
    jitter_share: float = 0.1  # only added, so that the endpoints of one fallen host are not asked all at once
    probe_lease_s: float = 40.0  # two longest sends (20 s): one for waiting in the lane and being recorded

    @property
    def window(self) -> timedelta:
        return timedelta(seconds=self.window_s)

    @property
    def probe_lease(self) -> timedelta:
        return timedelta(seconds=self.probe_lease_s)

    def base_wait_s(self, openings: int) -> float:
        """Before jitter, for the opening of that number in a row, from 1."""
        return float(min(self.first_wait_s * self.growth ** min(openings - 1, 30), self.max_wait_s))

    def wait(self, openings: int, rand: float) -> timedelta:
        """`rand` is uniform in [0, 1)."""
        return timedelta(seconds=self.base_wait_s(openings) * (1 + self.jitter_share * rand))


@dataclass(frozen=True, slots=True)
class Health:
    """What a Breaker row says; see there. Invariants: closed has no probe and no next probe; open by hand has neither;
    half-open has both probe fields."""

    state: str = BreakerState.CLOSED.value
    reason: str = ""
    by_hand: bool = False
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    next_probe_at: datetime | None = None
    probe_delivery_id: UUID | None = None
    probe_until: datetime | None = None
    openings: int = 0
    hold_until: datetime | None = None
    hold_reason: str = ""
    consecutive: int = 0
    window_at: datetime | None = None
    succeeded: int = 0
    failed: int = 0
    succeeded_before: int = 0
    failed_before: int = 0
    failing_since: datetime | None = None
    warned_percent: int = 0

    @property
    def failing_for(self) -> timedelta:
        """How long failures were seen without a success: to the window of the last one, not to now. What nobody tried
        to send proves nothing."""
        if self.failing_since is None or self.window_at is None:
            return timedelta()
        return max(self.window_at - self.failing_since, timedelta())


class Sign(Enum):
    """What an outcome says about the endpoint's health."""

    NONE = auto()  # nothing: not sent, or our own fault
    SUCCESS = auto()
    FAILURE = auto()  # counts towards opening
    REFUSAL = (
        auto()
    )  # it is there and answers, yet did not take the one message: it is failing, but must not be shut off
    THROTTLE = auto()  # 429: the same, and as the answer to a probe it means "not yet"


@dataclass(frozen=True, slots=True)
class Observation:
    """One result of a request to the endpoint; of successes, `count` in a row may stand as one.

    `sent_at` None: not known. `retry_after_s`: the receiver asked for a pause.
    """

    sign: Sign
    count: int = 1
    delivery_id: UUID | None = None
    sent_at: datetime | None = None
    reason: str = ""
    retry_after_s: float | None = None


def sign_of(outcome: Outcome) -> Sign:
    """A 4xx about the one message (400, 413, 422 …) is a refusal: opening the breaker for it would keep good events from
    a receiver that works. It does count as "did not take anything" towards auto-disable. 401, 403, 404 and their kin,
    redirects, 5xx and everything below HTTP are the endpoint's failures: while the breaker holds them, mending the
    endpoint saves every delivery. 410 is for delivery.health.endpoints."""
    if outcome.kind is OutcomeKind.DELIVERED:
        return Sign.SUCCESS
    if outcome.kind not in (OutcomeKind.FAILED, OutcomeKind.THROTTLED) or outcome.error_kind in NOT_THE_RECEIVERS:
        return Sign.NONE
    status = outcome.status_code or 0
    if status == TOO_MANY_REQUESTS:
        return Sign.THROTTLE
    if 400 <= status < 500 and status not in ENDPOINT_STATUSES:
        return Sign.REFUSAL
    return Sign.FAILURE


def observe(health: Health, seen: Observation, now: datetime, policy: BreakerPolicy, rand: float) -> Health:
    """What is known after one observation. While open nothing but a Retry-After counts: whatever comes was sent before.
    While half-open only the probe's own result counts."""
    health = _held(health, seen, now)
    if health.state == BreakerState.HALF_OPEN:
        is_probe = seen.delivery_id is not None and seen.delivery_id == health.probe_delivery_id
        return _after_probe(health, seen, now, policy, rand) if is_probe else health
    if health.state == BreakerState.OPEN or seen.sign is Sign.NONE or _sent_before_closing(health, seen):
        return health
    health = roll(health, now, policy)
    if seen.sign is Sign.SUCCESS:
        return _succeeded(health, seen.count)
    failing = replace(health, failing_since=health.failing_since or now)
    if seen.sign is not Sign.FAILURE:
        return failing
    counted = replace(failing, failed=failing.failed + seen.count, consecutive=failing.consecutive + seen.count)
    why = _why_open(counted, now, policy)
    return _opened(counted, f"{why}; the last: {seen.reason}", now, policy, rand) if why else counted


def credit(health: Health, succeeded: int, before: int, now: datetime, policy: BreakerPolicy) -> Health:
    """Count successes of this window and of the one before that were seen before anybody kept a row of them. They end
    nothing: they may be older than the failures that are known."""
    if health.state != BreakerState.CLOSED:
        return health
    health = roll(health, now, policy)
    added = health.succeeded_before + before
    return replace(health, succeeded=health.succeeded + succeeded, succeeded_before=added)


def roll(health: Health, now: datetime, policy: BreakerPolicy) -> Health:
    """Begin a new window where the current one is over."""
    if health.window_at is None:
        return replace(health, window_at=now, succeeded=0, failed=0, succeeded_before=0, failed_before=0)
    if now - health.window_at < policy.window:
        return health
    if now - health.window_at < 2 * policy.window:
        start = health.window_at + policy.window
        return replace(
            health,
            window_at=start,
            succeeded=0,
            failed=0,
            succeeded_before=health.succeeded,
            failed_before=health.failed,
        )
    return replace(health, window_at=now, succeeded=0, failed=0, succeeded_before=0, failed_before=0)


def probe_is_due(health: Health, now: datetime) -> bool:
    """Whether one delivery may be sent to find out. A probe whose lease ran out died with its worker: due again."""
    if health.hold_until is not None and health.hold_until > now:
        return False
    if health.state == BreakerState.OPEN:
        return health.next_probe_at is not None and health.next_probe_at <= now
    return health.state == BreakerState.HALF_OPEN and (health.probe_until is None or health.probe_until <= now)


def probing(health: Health, delivery_id: UUID, now: datetime, policy: BreakerPolicy) -> Health:
    """Half-open with this delivery as the probe. Only where `probe_is_due`."""
    return replace(
        health,
        state=BreakerState.HALF_OPEN.value,
        next_probe_at=None,
        probe_delivery_id=delivery_id,
        probe_until=now + policy.probe_lease,
    )


def hold_of(health: Health, now: datetime) -> Hold | None:
    """Why the endpoint is not called now; of two reasons the one that lasts longer. None also while a probe is due."""
    holds = [hold for hold in (_pause(health, now), _shut(health, now)) if hold is not None]
    return max(holds, key=lambda hold: hold.until or FOREVER, default=None)


def matters(health: Health, now: datetime, policy: BreakerPolicy) -> bool:
    """Whether workers must know of it: not closed, held, failing, or failures within the two windows. Mirrored by
    breaker_store.MATTERING."""
    if health.state != BreakerState.CLOSED or health.failing_since is not None or health.openings:
        return True
    if health.hold_until is not None and health.hold_until > now:
        return True
    return health.window_at is not None and health.window_at > now - 2 * policy.window


def opened_by_hand(health: Health, reason: str, now: datetime) -> Health:
    """Open until closed by hand: no probe."""
    opened = health.opened_at if health.state != BreakerState.CLOSED else now
    return replace(
        health,
        state=BreakerState.OPEN.value,
        reason=reason[:REASON_CHARS],
        by_hand=True,
        opened_at=opened,
        next_probe_at=None,
        probe_delivery_id=None,
        probe_until=None,
    )


def closed(health: Health, now: datetime) -> Health:
    """Closed with fresh counts; since when it fails stays, for no success was seen."""
    return replace(
        health,
        state=BreakerState.CLOSED.value,
        reason="",
        by_hand=False,
        closed_at=now,
        next_probe_at=None,
        probe_delivery_id=None,
        probe_until=None,
        consecutive=0,
        succeeded=0,
        failed=0,
        succeeded_before=0,
        failed_before=0,
    )


def due_now(health: Health, now: datetime) -> Health:
    """Open with its probe due at once; one opened by hand is the breaker's own again."""
    return replace(
        health,
        state=BreakerState.OPEN.value,
        by_hand=False,
        next_probe_at=now,
        probe_delivery_id=None,
        probe_until=None,
    )


def _held(health: Health, seen: Observation, now: datetime) -> Health:
    """A pause is only ever made longer, and is 10 hours at most."""
    if not seen.retry_after_s or seen.retry_after_s <= 0:
        return health
    until = now + timedelta(seconds=min(seen.retry_after_s, MAX_RETRY_AFTER_S))
    if health.hold_until is not None and health.hold_until >= until:
        return health
    return replace(
        health, hold_until=until, hold_reason=f"The receiver asked for a pause: {seen.reason}"[:REASON_CHARS]
    )


def _sent_before_closing(health: Health, seen: Observation) -> bool:
    """A time-out of a request from before the breaker opened may come in after it has closed again."""
    if health.closed_at is None or seen.sent_at is None or seen.sign is Sign.SUCCESS:
        return False
    return seen.sent_at < health.closed_at


def _after_probe(health: Health, seen: Observation, now: datetime, policy: BreakerPolicy, rand: float) -> Health:
    """A refusal closes it too: the receiver is there again. Only a success ends the row of openings."""
    match seen.sign:
        case Sign.SUCCESS:
            return _succeeded(closed(health, now), seen.count)
        case Sign.REFUSAL:
            return closed(roll(health, now, policy), now)
        case Sign.NONE:
            return due_now(health, now)
        case _:
            again = replace(health, failing_since=health.failing_since or now, consecutive=health.consecutive + 1)
            return _opened(roll(again, now, policy), f"The probe failed: {seen.reason}", now, policy, rand)


def _succeeded(health: Health, count: int) -> Health:
    """One without failures in its windows has nothing left to say."""
    well = replace(health, consecutive=0, openings=0, failing_since=None, warned_percent=0)
    if well.failed or well.failed_before:
        return replace(well, succeeded=well.succeeded + count)
    return replace(well, window_at=None, succeeded=0, succeeded_before=0)


def _why_open(health: Health, now: datetime, policy: BreakerPolicy) -> str:
    """For people; "" while it stays closed."""
    if health.consecutive >= policy.consecutive:
        return f"{health.consecutive} failures in a row"
    assert health.window_at is not None
    passed = (now - health.window_at) / policy.window
    weight = 1 - min(max(passed, 0.0), 1.0)
    failed = health.failed + weight * health.failed_before
    total = failed + health.succeeded + weight * health.succeeded_before
    if total < policy.min_count or failed < policy.failure_share * total:
        return ""
    return f"{failed / total:.0%} of {total:.0f} requests failed within {policy.window_s:.0f} s"


def _opened(health: Health, reason: str, now: datetime, policy: BreakerPolicy, rand: float) -> Health:
    openings = min(health.openings + 1, MAX_OPENINGS)
    was_closed = health.state == BreakerState.CLOSED
    return replace(
        health,
        state=BreakerState.OPEN.value,
        reason=reason[:REASON_CHARS],
        by_hand=False,
        opened_at=now if was_closed else health.opened_at,
        next_probe_at=now + policy.wait(openings, rand),
        probe_delivery_id=None,
        probe_until=None,
        openings=openings,
    )


def _pause(health: Health, now: datetime) -> Hold | None:
    if health.hold_until is None or health.hold_until <= now:
        return None
    return Hold(ErrorKind.RETRY_AFTER, health.hold_reason, health.hold_until)


def _shut(health: Health, now: datetime) -> Hold | None:
    if health.state == BreakerState.CLOSED or probe_is_due(replace(health, hold_until=None), now):
        return None
    until = health.next_probe_at if health.state == BreakerState.OPEN else health.probe_until
    return Hold(ErrorKind.BREAKER_OPEN, health.reason, until)
