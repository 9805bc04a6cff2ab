"""Celery messages as hints: publishing may fail without loss, since the sweep publishes again what nobody claimed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from celery import current_app
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from delivery.queue_order import QUEUE_PREFIX
from delivery.store import Hint

logger = logging.getLogger(__name__)

TASK = "delivery.dispatch"


def publish(hints: Sequence[Hint]) -> None:
    """One pipelined publish of all. Call it after the commit that made the dispatches."""
    if not hints:
        return
    try:
        with current_app.amqp.producer_pool.acquire(block=True, timeout=2) as producer, producer.batch():  # type: ignore[attr-defined]  # kombu 5.7, newer than its stubs
            for hint in hints:
                current_app.send_task(
                    TASK,
                    args=(hint.dispatch_id, hint.token),
                    queue=QUEUE_PREFIX + hint.lane,
                    countdown=hint.countdown_s or None,
                    producer=producer,
                    retry=False,
                )
    except (KombuError, RedisError, OSError) as error:
        logger.warning("hints.left_to_sweep", extra={"count": len(hints), "error": str(error)})
