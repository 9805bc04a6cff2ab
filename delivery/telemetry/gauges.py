"""How things stand at this moment, from the stores that all processes share: what metrics show and alert rules judge."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import redis
from confluent_kafka import KafkaException
from django.conf import settings

from delivery.models import BreakerState, DispatchLane
from delivery.queue_order import QUEUE_PREFIX
from eventcenter.ids import id_time
from eventcenter.models import ConsumerOffset
from eventcenter.store import rows
from eventcenter.topic_ends import topic_ends

logger = logging.getLogger(__name__)

COUNT_MOST = 10_000  # counting on would cost more than knowing (a capped count of these rows: some ms)
REDIS_TIMEOUT_S = 0.5
ORDERING = "ordering"


@dataclass(frozen=True, slots=True)
class Gauges:
    """What waits, where and for how long. Counts stop at COUNT_MOST, the held ones over all reasons together."""

    oldest_due_s: float
    outbox_depth: int
    outbox_age_s: float
    consumer_lag: int | None  # messages over all partitions; None: Kafka is away
    queue_depth: Mapping[str, int] | None  # lane → hints; None: Redis is away
    in_flight: int  # deliveries in dispatches that workers hold
    open_dispatches: int
    held: Mapping[str, int]  # reason → deliveries
    breakers: Mapping[str, int]  # state → endpoints; every state is there


# Index: delivery_delivery_due (partial), its first row in each partition. The second part reads all dispatches: a row a
# hundred deliveries, and none of them for long.
OLDEST_DUE: LiteralString = """
SELECT greatest(0, extract(epoch FROM %s - least(
    (SELECT min(due_at) FROM delivery_delivery WHERE due_at IS NOT NULL),
    (SELECT min(coalesce(not_before, created_at)) FROM delivery_dispatch WHERE claimed_by = ''))))::float8
"""
# Index: primary key, from its start (UUIDv7: the oldest first).
OUTBOX: LiteralString = """
SELECT count(*), (SELECT id FROM eventcenter_outboxmessage ORDER BY id LIMIT 1)
FROM (SELECT 1 FROM eventcenter_outboxmessage LIMIT %s) AS waiting
"""
# No index: as many rows as there are batches, up to the limit; of the claimed ones, a few for each worker.
DISPATCHES: LiteralString = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM delivery_dispatch LIMIT %s) AS counted),
    (SELECT coalesce(sum(cardinality(delivery_ids)), 0)::bigint FROM delivery_dispatch WHERE claimed_by <> '')
"""
# Index: delivery_delivery_held (partial), up to the limit.
HELD: LiteralString = """
SELECT held_reason, count(*) FROM (
    SELECT held_reason FROM delivery_delivery WHERE held_reason <> '' AND held_reason <> 'ordering' LIMIT %s
) AS counted GROUP BY held_reason
"""
# Index: ordered_delivery_head, a probe a row: whether another one of its key is before it.
BEHIND_OTHERS: LiteralString = """
SELECT count(*) FROM (SELECT order_key, seq FROM delivery_ordereddelivery LIMIT %s) AS o WHERE EXISTS (
    SELECT 1 FROM delivery_ordereddelivery AS before WHERE before.order_key = o.order_key AND before.seq < o.seq)
"""
# Primary keys of two small tables: a row an endpoint.
BREAKERS: LiteralString = """
SELECT coalesce(b.state, 'closed'), count(*) FROM subscriptions_endpoint AS e
LEFT JOIN delivery_breaker AS b ON b.endpoint_id = e.id WHERE e.archived_at IS NULL GROUP BY 1
"""


def read(now: datetime) -> Gauges:
    """All of them, of all tenants. Redis' or Kafka's absence costs up to three seconds and gives None; PostgreSQL's raises."""
    return stored(now, consumer_lag(), queue_depth())


def stored(now: datetime, lag: int | None, queues: Mapping[str, int] | None) -> Gauges:
    """All that PostgreSQL knows, with what was asked of the other two."""
    ((oldest_due_s,),) = rows(OLDEST_DUE, [now])
    ((outbox_depth, oldest_id),) = rows(OUTBOX, [COUNT_MOST])
    ((open_dispatches, in_flight),) = rows(DISPATCHES, [COUNT_MOST])
    return Gauges(
        oldest_due_s=oldest_due_s or 0.0,
        outbox_depth=outbox_depth,
        outbox_age_s=max((now - id_time(oldest_id)).total_seconds(), 0.0) if oldest_id else 0.0,
        consumer_lag=lag,
        queue_depth=queues,
        in_flight=in_flight,
        open_dispatches=open_dispatches,
        held=_held(),
        breakers={state: 0 for state in BreakerState.values} | dict(rows(BREAKERS, [])),
    )


def _held() -> dict[str, int]:
    held: dict[str, int] = dict(rows(HELD, [COUNT_MOST]))
    ((behind,),) = rows(BEHIND_OTHERS, [COUNT_MOST])
    return held | ({ORDERING: behind} if behind else {})


def queue_depth() -> dict[str, int] | None:
    """Lane → how many hints wait in its Celery queue. None: Redis does not answer."""
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    )
    try:
        with client, client.pipeline(transaction=False) as pipe:
            for lane in DispatchLane.values:
                pipe.llen(QUEUE_PREFIX + lane)
            return dict(zip(DispatchLane.values, map(int, pipe.execute()), strict=True))
    except redis.RedisError as error:
        logger.warning("gauges.redis_away", extra={"error": str(error)})
        return None


def consumer_lag() -> int | None:
    """How many messages of the events topic no transaction of ours has stored. None: Kafka does not answer."""
    topic = settings.KAFKA_EVENTS_TOPIC
    stored = dict(ConsumerOffset.objects.filter(topic=topic).values_list("partition", "next_offset"))
    try:
        ends = topic_ends(topic, frozenset(stored))
    except KafkaException as error:
        logger.warning("gauges.kafka_away", extra={"error": str(error)})
        return None
    return sum(max(end - stored.get(each, begin), 0) for each, (begin, end) in ends.items())
