"""News of deaths: a delivery that died is an event of its tenant, `event.delivery.failed` version 1, like any other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString, NamedTuple
from uuid import UUID

import orjson

from delivery.store import id_bounds
from eventcenter.envelope import Envelope, timestamp_text
from eventcenter.publishing import keep
from eventcenter.store import cursor

logger = logging.getLogger(__name__)

FAILED_TYPE = "event.delivery.failed"
SOURCE = "/event-center/deliveries"
MAX_ERROR_CHARS = 1_000  # the schema's


class DeadDelivery(NamedTuple):
    """One delivery that ended as dead in this transaction.

    `replays`: which round it was. `status_code` and `error` are the last try's; the error is in plain words, "" without one.
    """

    delivery_id: UUID
    replays: int
    reason: str
    attempts: int
    status_code: int | None
    error: str
    at: datetime


class About(NamedTuple):
    """What the dead delivery was to carry, and where to. A name is None where its row was deleted."""

    delivery_id: UUID
    tenant: str
    event_id: UUID
    event_type: str
    event_subject: str
    traceparent: str
    subscription: str | None
    endpoint: str | None
    last_status_code: int | None


# Index: primary keys; the bounds prune the days. Left out: news of a death that died itself (there would be no end to
# it), what a deactivated tenant would be told (the ingest refuses it), and deliveries whose event is past its retention:
# nobody can say whether that one was such news.
ABOUT: LiteralString = """
SELECT d.id, t.slug, e.id, e.type, e.subject, e.traceparent, s.slug, p.slug, d.last_status_code
FROM delivery_delivery d
JOIN eventcenter_event e ON e.id = d.event_id AND e.id >= %(floor)s AND e.id <= %(ceiling)s AND e.type <> %(failed)s
JOIN subscriptions_tenant t ON t.id = d.tenant_id AND t.active
LEFT JOIN subscriptions_subscription s ON s.id = d.subscription_id
LEFT JOIN subscriptions_endpoint p ON p.id = d.endpoint_id
WHERE d.id = ANY(%(ids)s) AND d.id >= %(floor)s AND d.id <= %(ceiling)s
"""


def announce(dead: Sequence[DeadDelivery]) -> dict[UUID, Envelope]:
    """Keep one event for each in the outbox, in the caller's transaction; they are sent after its commit. Returns them by
    their delivery.

    Repeated for the same delivery and round, it makes no second event. One query for all, and one for each tenant.
    """
    if not dead:
        return {}
    found = _about([item.delivery_id for item in dead])
    news: dict[UUID, Envelope] = {}
    by_tenant: dict[str, list[Envelope]] = {}
    for item in dead:
        about = found.get(item.delivery_id)
        if about is not None:
            envelope = news[item.delivery_id] = failed_event(item, about)
            by_tenant.setdefault(about.tenant, []).append(envelope)
    for tenant, envelopes in sorted(by_tenant.items()):
        keep(tenant, envelopes)
    logger.info("deliveries.dead", extra={"count": len(dead), "announced": len(news)})
    return news


def failed_event(item: DeadDelivery, about: About) -> Envelope:
    """Pure. The id is one delivery's and one round's, however often it is made; the trace is the failed event's own."""
    data = {
        "delivery_id": str(item.delivery_id),
        "event_id": str(about.event_id),
        "event_type": about.event_type,
        "event_subject": about.event_subject or None,
        "subscription": about.subscription or "(deleted)",
        "endpoint": about.endpoint or "(deleted)",
        "reason": item.reason,
        "attempts": item.attempts,
        "last_status_code": about.last_status_code if item.status_code is None else item.status_code,
        "last_error": _storable(item.error)[:MAX_ERROR_CHARS] or None,
        "failed_at": timestamp_text(item.at),
    }
    return Envelope(
        id=f"{item.delivery_id}-{item.replays}",
        source=SOURCE,
        type=FAILED_TYPE,
        subject=about.subscription or None,
        time=item.at,
        tenant=about.tenant,
        traceparent=about.traceparent or None,
        data=orjson.dumps(data),
    )


def _storable(text: str) -> str:
    """Without what neither JSON nor PostgreSQL takes."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _about(ids: Sequence[UUID]) -> dict[UUID, About]:
    floor, ceiling = id_bounds(ids)
    parameters = {"ids": list(ids), "floor": floor, "ceiling": ceiling, "failed": FAILED_TYPE}
    with cursor() as cur:
        return {row[0]: About(*row) for row in cur.execute(ABOUT, parameters, binary=True)}
