"""Breakers as a service: what each process knows of endpoints' health, how it adds to that, and what people do by hand.

PostgreSQL has the one truth (a Breaker row). A worker reads what matters twice a second and writes only for endpoints
that are not well; a healthy endpoint costs one count in memory.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import Error, connection, transaction
from django.utils import timezone

from audit.trail import Actor, record
from delivery.health import breaker, breaker_store
from delivery.health.breaker import BreakerPolicy, Health, Observation, Sign, hold_of, sign_of
from delivery.models import BreakerState
from delivery.outcome import Outcome, OutcomeKind
from delivery.transports.base import Hold
from subscriptions.models import Endpoint

logger = logging.getLogger(__name__)

READ_EVERY = timedelta(seconds=0.5)
# What opens, holds or ends nothing only makes shares and clocks true: it is written in groups.
UNHURRIED_S = 1.0

_DELIVERED = OutcomeKind.DELIVERED


def breaker_policy() -> BreakerPolicy:
    """As the settings have it. The probe's lease outlasts two of the longest sends."""
    return BreakerPolicy(
        min_count=settings.BREAKER_MIN_COUNT,
        failure_share=settings.BREAKER_FAILURE_SHARE,
        window_s=settings.BREAKER_WINDOW_S,
        consecutive=settings.BREAKER_CONSECUTIVE,
        first_wait_s=settings.BREAKER_FIRST_WAIT_S,
        max_wait_s=settings.BREAKER_MAX_WAIT_S,
        probe_lease_s=2.0 * settings.WEBHOOK_MAX_TIMEOUT_S,
    )


class Board:
    """What this process knows of endpoints that are not well. Safe for several threads.

    `held` is what transports look at before each start; it changes in place, one entry at a time. An endpoint whose probe
    this process has claimed is not in it, so that the probe can start; `hold` does say that all others wait. While the
    database is away the last knowledge stays in use.
    """

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self.policy = policy or breaker_policy()
        self.held: dict[int, Hold] = {}
        self.known: dict[int, Health] = {}  # changed in place, under the lock; single reads need none
        self._probes: dict[int, UUID] = {}  # claimed by this process
        self._lock = threading.Lock()
        self._read_at: datetime | None = None

    def hold(self, endpoint_id: int, now: datetime) -> Hold | None:
        """Why no delivery may be sent there now. None also when a probe is due: then only the one that claims it may."""
        health = self.known.get(endpoint_id)
        return hold_of(health, now) if health is not None else None

    def probe_is_due(self, endpoint_id: int, now: datetime) -> bool:
        health = self.known.get(endpoint_id)
        return health is not None and breaker.probe_is_due(health, now)

    def probe_of(self, endpoint_id: int) -> UUID | None:
        """The delivery that this process has on its way to find out."""
        return self._probes.get(endpoint_id)

    def refresh_if_due(self, now: datetime) -> None:
        """One small query at most every READ_EVERY, by whichever thread comes first; the others go on with what is known."""
        if not self._is_due(now) or not self._lock.acquire(blocking=False):
            return
        try:
            if self._is_due(now):
                self._read_at = now
                self._read(now)
                self._show_all(now)
        finally:
            self._lock.release()

    def claim_probe(self, endpoint_id: int, delivery_id: UUID, now: datetime) -> bool:
        """Whether this delivery may be sent to find out; over all processes at most one at a time. False also while the
        database is away."""
        with self._lock:
            try:
                won = breaker_store.claim_probe(endpoint_id, delivery_id, now, now + self.policy.probe_lease)
                health = breaker_store.read(endpoint_id)
            except Error:
                logger.warning("breaker.claim_failed", exc_info=True)
                _give_up_connection()
                return False
            if won:
                self._probes[endpoint_id] = delivery_id
            self._take(endpoint_id, health or Health(), now)
        if won:
            logger.info("breaker.probing", extra={"endpoint_id": endpoint_id, "delivery_id": str(delivery_id)})
        return won

    def apply(self, healths: Mapping[int, Health], now: datetime) -> None:
        """What was just committed, ahead of the next read. Reads wait for the lock, so none older can undo it."""
        with self._lock:
            for endpoint_id, health in healths.items():
                self._take(endpoint_id, health, now)

    def _is_due(self, now: datetime) -> bool:
        """A clock that was set back must not stop the reading."""
        return self._read_at is None or abs(now - self._read_at) >= READ_EVERY

    def _read(self, now: datetime) -> None:
        try:
            found = breaker_store.mattering(now, 2 * self.policy.window)
        except Error:
            logger.warning("breaker.read_failed", exc_info=True)
            _give_up_connection()
            return
        for endpoint_id in self.known.keys() - found.keys():
            self.known.pop(endpoint_id, None)
        self.known.update(found)

    def _take(self, endpoint_id: int, health: Health, now: datetime) -> None:
        if breaker.matters(health, now, self.policy):
            self.known[endpoint_id] = health
        else:
            self.known.pop(endpoint_id, None)
        self._show(endpoint_id, now)

    def _show_all(self, now: datetime) -> None:
        for endpoint_id in self.known.keys() | self.held.keys() | self._probes.keys():
            self._show(endpoint_id, now)

    def _show(self, endpoint_id: int, now: datetime) -> None:
        health = self.known.get(endpoint_id, _WELL)
        if self._probes.get(endpoint_id) != health.probe_delivery_id:
            self._probes.pop(endpoint_id, None)
        hold = hold_of(health, now)
        paused = health.hold_until is not None and health.hold_until > now
        if hold is None or (endpoint_id in self._probes and not paused):
            self.held.pop(endpoint_id, None)
        else:
            self.held[endpoint_id] = hold


_WELL = Health()


@dataclass(slots=True)
class _Pending:
    """What was seen of one endpoint and is not written yet; `recent` and `before` from when nobody kept a row of it."""

    tenant_id: int
    recent: int
    before: int
    seen: list[Observation] = field(default_factory=list)

    def fold(self, health: Health, now: datetime, policy: BreakerPolicy) -> Health:
        if self.recent or self.before:
            health = breaker.credit(health, self.recent, self.before, now, policy)
        for observation in self.seen:
            rand = random.random()  # noqa: S311 - jitter, not cryptography
            health = breaker.observe(health, observation, now, policy, rand)
        return health


class HealthTally:
    """Counts outcomes and writes what matters of them. For one thread: `add` for each outcome once, then, when `due`,
    `write` inside the transaction that records them and `settle` after its commit. After a rollback `write` is simply
    called again; nothing is added between a `write` and its `settle`."""

    def __init__(self, board: Board, clock: Callable[[], float] = time.monotonic) -> None:
        self._board = board
        self._tracked = board.known
        self._clock = clock
        self._turned_at = clock()
        self._recent: defaultdict[int, int] = defaultdict(int)  # successes of this window, by healthy endpoint
        self._before: defaultdict[int, int] = defaultdict(int)  # and of the one before
        self._pending: dict[int, _Pending] = {}
        self._written: dict[int, tuple[Health, Health]] = {}
        self._urgent = False
        self._flush_at = 0.0

    def add(self, endpoint_id: int, tenant_id: int, delivery_id: UUID, outcome: Outcome) -> None:
        """Every outcome, also those that spent no attempt: a probe that was not sent must let the next one try."""
        if outcome.kind is _DELIVERED and endpoint_id not in self._tracked and endpoint_id not in self._pending:
            self._recent[endpoint_id] += 1
        else:
            self._note(endpoint_id, tenant_id, delivery_id, outcome)

    def due(self) -> bool:
        """Whether something must be written with this group."""
        self._turn()
        return bool(self._pending) and (self._urgent or self._clock() >= self._flush_at)

    def write(self, now: datetime) -> None:
        """Inside the caller's transaction. Locks the rows in the order of endpoints until its end."""
        self._written = {}
        if not self._pending:
            return
        breaker_store.ensure([(key, item.tenant_id) for key, item in self._pending.items() if key not in self._tracked])
        # A row that was tidied away in this very moment is missing here: what was seen of it is forgotten.
        for endpoint_id, before in breaker_store.lock(list(self._pending)).items():
            after = self._pending[endpoint_id].fold(before, now, self._board.policy)
            self._written[endpoint_id] = (before, after)
        breaker_store.save({key: after for key, (before, after) in self._written.items() if after != before})

    def settle(self, now: datetime) -> None:
        """After the commit: this process knows at once, the others within READ_EVERY."""
        if not self._written:
            return
        self._board.apply({key: after for key, (_, after) in self._written.items()}, now)
        for endpoint_id, (before, after) in self._written.items():
            _log(endpoint_id, before, after)
        self._pending, self._written, self._urgent = {}, {}, False

    def _note(self, endpoint_id: int, tenant_id: int, delivery_id: UUID, outcome: Outcome) -> None:
        is_probe = self._board.probe_of(endpoint_id) == delivery_id
        sign = sign_of(outcome)
        asked_s = None if sign in (Sign.NONE, Sign.SUCCESS) else outcome.retry_after_s
        health = self._tracked.get(endpoint_id, _WELL)
        shut = health.state != BreakerState.CLOSED
        if not is_probe and (sign is Sign.NONE or (shut and not asked_s)):
            return
        pending = self._pending_of(endpoint_id, tenant_id)
        if sign is Sign.SUCCESS and not is_probe:
            _add_success(pending.seen)
        else:
            pending.seen.append(_observation(sign, delivery_id, outcome, asked_s))
        ends = sign is Sign.SUCCESS and _is_ailing(health)
        self._urgent |= sign is Sign.FAILURE or is_probe or ends or asked_s is not None

    def _pending_of(self, endpoint_id: int, tenant_id: int) -> _Pending:
        pending = self._pending.get(endpoint_id)
        if pending is None:
            self._turn()
            if not self._pending:
                self._flush_at = self._clock() + UNHURRIED_S
            pending = _Pending(tenant_id, self._recent.pop(endpoint_id, 0), self._before.pop(endpoint_id, 0))
            self._pending[endpoint_id] = pending
        return pending

    def _turn(self) -> None:
        """The local counts move on with their own windows; a group that ends a long silence still counts with the old."""
        passed_s = self._clock() - self._turned_at
        if passed_s < self._board.policy.window_s:
            return
        self._turned_at += passed_s
        self._before = self._recent if passed_s < 2 * self._board.policy.window_s else defaultdict(int)
        self._recent = defaultdict(int)


def open_by_hand(endpoint: Endpoint, actor: Actor, reason: str) -> bool:
    """Hold the endpoint's deliveries until somebody closes it: no probe. False when it was open by hand already."""
    with transaction.atomic():
        breaker_store.ensure([(endpoint.pk, endpoint.tenant_id)])
        return _by_hand(endpoint, actor, "breaker.opened", lambda health, now: _opened(health, reason, now), reason)


def close_by_hand(endpoint: Endpoint, actor: Actor) -> bool:
    """Call the endpoint again, whoever opened its breaker. False when it was closed."""
    return _by_hand(endpoint, actor, "breaker.closed", _closed)


def probe_now(endpoint: Endpoint, actor: Actor) -> bool:
    """Let the next delivery find out at once; one opened by hand is the breaker's own again. False when it is not open,
    or a probe is on its way."""
    return _by_hand(endpoint, actor, "breaker.probe_asked", _due_now)


def end_hold(endpoint: Endpoint, actor: Actor) -> bool:
    """Forget the receiver's wish for a pause. False when there is none."""
    return _by_hand(endpoint, actor, "breaker.hold_ended", _without_hold)


Change = Callable[[Health, datetime], Health]


def _by_hand(endpoint: Endpoint, actor: Actor, action: str, change: Change, reason: str = "") -> bool:
    """One transaction with the audit entry. A change that changes nothing did nothing."""
    with transaction.atomic():
        before = breaker_store.lock([endpoint.pk]).get(endpoint.pk)
        after = change(before, timezone.now()) if before is not None else None
        if before is None or after is None or after == before:
            return False
        breaker_store.save({endpoint.pk: after})
        details: dict[str, object] = {"from": before.state, "to": after.state, "reason": reason or before.reason}
        record(endpoint.tenant.slug, actor, action, f"endpoint:{endpoint.pk}", details)
    logger.info(action, extra={"endpoint_id": endpoint.pk, "tenant_id": endpoint.tenant_id, "actor": actor.name})
    return True


def _opened(health: Health, reason: str, now: datetime) -> Health:
    by_hand = health.state == BreakerState.OPEN and health.by_hand
    return health if by_hand else breaker.opened_by_hand(health, reason, now)


def _closed(health: Health, now: datetime) -> Health:
    return health if health.state == BreakerState.CLOSED else breaker.closed(health, now)


def _due_now(health: Health, now: datetime) -> Health:
    if health.state != BreakerState.OPEN or breaker.probe_is_due(replace(health, hold_until=None), now):
        return health
    return breaker.due_now(health, now)


def _without_hold(health: Health, now: datetime) -> Health:
    running = health.hold_until is not None and health.hold_until > now
    return replace(health, hold_until=None, hold_reason="") if running else health


def _is_ailing(health: Health) -> bool:
    """A success changes more than a count."""
    return health.failing_since is not None or health.consecutive > 0 or health.openings > 0


def _add_success(seen: list[Observation]) -> None:
    if seen and seen[-1].sign is Sign.SUCCESS and seen[-1].delivery_id is None:
        seen[-1] = Observation(Sign.SUCCESS, seen[-1].count + 1)
    else:
        seen.append(Observation(Sign.SUCCESS))


def _observation(sign: Sign, delivery_id: UUID, outcome: Outcome, asked_s: float | None) -> Observation:
    return Observation(
        sign,
        delivery_id=delivery_id,
        sent_at=datetime.fromtimestamp(outcome.started_at, tz=UTC) if outcome.started_at else None,
        reason=(outcome.error or str(outcome.error_kind)).replace("\0", ""),
        retry_after_s=asked_s,
    )


def _log(endpoint_id: int, before: Health, after: Health) -> None:
    ids = {"endpoint_id": endpoint_id, "openings": after.openings}
    if after.state != before.state or after.openings != before.openings:
        if after.state == BreakerState.CLOSED and before.state != BreakerState.CLOSED:
            logger.info("breaker.closed", extra=ids)
        elif after.state == BreakerState.OPEN:
            logger.warning("breaker.opened", extra=ids)
    if after.hold_until != before.hold_until:
        logger.info("endpoint.held", extra={"endpoint_id": endpoint_id, "until": str(after.hold_until)})


def _give_up_connection() -> None:
    """A broken one, so that the next query makes another; a caller's transaction is left to it."""
    if not connection.in_atomic_block:
        connection.close()
