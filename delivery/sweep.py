"""The sweep: what was lost or is due becomes a hint again. It makes the loss of every Celery message harmless."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

import redis
from django.conf import settings
from django.db import transaction

from delivery import hints, store
from delivery.hints import QUEUE_PREFIX
from delivery.ingest import UNCLAIMED_LEASE_S
from delivery.models import DispatchLane
from delivery.planning import DISPATCH_DELIVERIES
from delivery.store import Hint, NewDispatch

logger = logging.getLogger(__name__)

# Under a backlog most unclaimed dispatches are not lost, only waiting in the queue: more hints would be more of the same.
QUEUED_HINTS_MOST = 200
DUE_MOST = 1_000
RELEASE_MOST = 200
REDIS_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass did: dispatches released for another worker, deliveries whose time had come."""

    released: int
    due: int

    @property
    def more(self) -> bool:
        return self.released >= RELEASE_MOST or self.due >= DUE_MOST


class Sweeper:
    """Several may run: rows are taken with SKIP LOCKED."""

    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
        )

    def sweep(self, now: datetime) -> Swept:
        room = QUEUED_HINTS_MOST - self._queued()
        if room <= 0:
            return Swept(0, 0)
        released = store.release_expired(min(room, RELEASE_MOST), UNCLAIMED_LEASE_S)
        due, due_hints = self._dispatch_due(now)
        hints.publish([*released, *due_hints])
        if released:
            logger.info("sweep.released", extra={"count": len(released)})
        return Swept(len(released), due)

    def _queued(self) -> int:
        """Hints waiting in Redis. Without Redis there is no room: hints would go nowhere."""
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for lane in DispatchLane.values:
                    pipe.llen(QUEUE_PREFIX + lane)
                return int(sum(pipe.execute()))
        except redis.RedisError:
            logger.warning("sweep.redis_away", exc_info=True)
            return QUEUED_HINTS_MOST

    def _dispatch_due(self, now: datetime) -> tuple[int, list[Hint]]:
        with transaction.atomic():
            ids = store.take_due(DUE_MOST)
            batches = [
                NewDispatch(DispatchLane.RETRY.value, ids[start : start + DISPATCH_DELIVERIES])
                for start in range(0, len(ids), DISPATCH_DELIVERIES)
            ]
            return len(ids), store.insert_dispatches(batches, UNCLAIMED_LEASE_S, now)
