"""The sweep: what was lost, is due, or need not be held any longer becomes a hint again.

It makes the loss of every Celery message, and of every worker, harmless.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import redis
from django.conf import settings
from django.db import transaction

from delivery import hints, store
from delivery.approvals import service as approvals
from delivery.health import endpoints
from delivery.health.breakers import Board
from delivery.ingest import UNCLAIMED_LEASE_S
from delivery.limiting.limits import Limiter
from delivery.models import DispatchLane
from delivery.order import ordering
from delivery.outcome import ErrorKind
from delivery.planning import DISPATCH_DELIVERIES, HELD_LOOK_S
from delivery.queue_order import QUEUE_PREFIX
from delivery.release import Releaser
from delivery.signing_keys.remind import resolve_rotated
from delivery.store import Hint, NewDispatch
from delivery.work_orders import by_rule

logger = logging.getLogger(__name__)

# Under a backlog most unclaimed dispatches are not lost, only waiting in the queue: more hints would be more of the same.
QUEUED_HINTS_MOST = 200
DUE_MOST = 1_000
# Of one endpoint in one pass; the rest is let go in a growing window. So a recovered endpoint is not run over by what
# fell due while it was away, and others' retries do not wait behind it.
DUE_OF_ENDPOINT_MOST = 100
RELEASE_MOST = 200
REDIS_TIMEOUT_S = 1.0
# A worker renews its leases every 2 s (eventcenter.worker.BEAT_EVERY_S): five in a row were missed. On a machine with
# ten processes a core one that lived was more than 8 s late. Well below the 30 s in which all must go on after a death.
SILENT_S = 12.0
# While Redis has this key, it has not lost what was in it.
MARKER_KEY = QUEUE_PREFIX + "marker"
# No pass for so long: the database was away, or we were. What workers could not renew meanwhile is no sign of their death.
GAP_S = 3.0
CHORES_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass did: dispatches released for another worker, deliveries whose time had come, and held ones let go."""

    released: int
    due: int
    let_go: int = 0

    @property
    def more(self) -> bool:
        return self.released >= RELEASE_MOST or self.due >= DUE_MOST


class Sweeper:
    """Several may run: rows are taken with SKIP LOCKED."""

    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
        )
        self._board = Board()
        self._releaser = Releaser(self._board, Limiter(settings.REDIS_URL))
        self._steady_since = self._last_pass = float("-inf")
        self._chores_at = float("-inf")
        self._lost_until: datetime | None = None  # hints with leases up to then were in a Redis that forgot them

    def sweep(self, now: datetime) -> Swept:
        steady = self._is_steady()
        lengths = self._queue_lengths(now)
        if lengths is None:
            return Swept(0, 0)
        self._board.refresh_if_due(now)
        released = self._release_lost() + self._release(lengths, steady)
        due = 0
        due_hints: list[Hint] = []
        freed: list[Hint] = []
        if lengths[DispatchLane.RETRY] < QUEUED_HINTS_MOST:
            due, due_hints = self._dispatch_due(now)
            freed = self._releaser.step(now)
        hints.publish([*released, *due_hints, *freed, *self._chores(now)])
        self._last_pass = time.monotonic()
        return Swept(len(released), due, len(freed))

    def _is_steady(self) -> bool:
        """Whether passes came without a gap for longer than a worker may be silent."""
        at = time.monotonic()
        if at - self._last_pass > GAP_S:
            self._steady_since = at
        return at - self._steady_since > SILENT_S

    def _queue_lengths(self, now: datetime) -> dict[str, int] | None:
        """Hints waiting in Redis, by lane. None without Redis: hints would go nowhere."""
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.set(MARKER_KEY, now.isoformat(), nx=True)
                for lane in DispatchLane.values:
                    pipe.llen(QUEUE_PREFIX + lane)
                was_missing, *lengths = pipe.execute()
            if was_missing:
                self._lost_until = now + timedelta(seconds=UNCLAIMED_LEASE_S)
                logger.warning("sweep.redis_forgot")
            return dict(zip(DispatchLane.values, map(int, lengths), strict=True))
        except redis.RedisError:
            logger.warning("sweep.redis_away", exc_info=True)
            return None

    def _release(self, lengths: dict[str, int], steady: bool) -> list[Hint]:
        short = [lane for lane, length in lengths.items() if length < QUEUED_HINTS_MOST]
        released = store.release_expired(RELEASE_MOST, UNCLAIMED_LEASE_S, short)
        if steady:
            released += store.release_orphaned(RELEASE_MOST, UNCLAIMED_LEASE_S, SILENT_S)
        if released:
            logger.info("sweep.released", extra={"count": len(released)})
        return released

    def _release_lost(self) -> list[Hint]:
        """What was in a Redis that forgot it, a part in each pass; without this, all would wait for their leases to end."""
        if self._lost_until is None:
            return []
        released = store.release_unclaimed(RELEASE_MOST, UNCLAIMED_LEASE_S, self._lost_until)
        if len(released) < RELEASE_MOST:
            self._lost_until = None
        return released

    def _dispatch_due(self, now: datetime) -> tuple[int, list[Hint]]:
        with transaction.atomic():
            taken = store.take_due(DUE_MOST)
            by_endpoint: dict[int, list[UUID]] = {}
            for delivery_id, endpoint_id in taken:
                by_endpoint.setdefault(endpoint_id, []).append(delivery_id)
            ready = [item for endpoint_id, ids in by_endpoint.items() for item in self._ready(endpoint_id, ids, now)]
            return len(taken), store.insert_dispatches(_batches(ready), UNCLAIMED_LEASE_S, now)

    def _ready(self, endpoint_id: int, ids: list[UUID], now: datetime) -> list[UUID]:
        """Those of one endpoint's due deliveries that may go now; the others are held."""
        if len(ids) <= DUE_OF_ENDPOINT_MOST:
            return ids
        hold = self._board.hold(endpoint_id, now)
        most = 0 if hold else DUE_OF_ENDPOINT_MOST
        store.hold(ids[most:], hold.kind if hold else ErrorKind.BACKLOG, HELD_LOOK_S)
        return ids[:most]

    def _chores(self, now: datetime) -> list[Hint]:
        """What need not be done in every pass."""
        if time.monotonic() - self._chores_at < CHORES_EVERY_S:
            return []
        self._chores_at = time.monotonic()
        endpoints.watch(now)
        resolve_rotated(now)
        approvals.expire(now)
        by_rule.notice(now)
        with transaction.atomic():
            return store.insert_dispatches(_batches(ordering.wake()), UNCLAIMED_LEASE_S, now)


def _batches(ids: Sequence[UUID]) -> list[NewDispatch]:
    return [
        NewDispatch(DispatchLane.RETRY.value, list(ids[start : start + DISPATCH_DELIVERIES]))
        for start in range(0, len(ids), DISPATCH_DELIVERIES)
    ]
