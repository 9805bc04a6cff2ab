"""The ops console's feed: lines in, old lines out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction

from delivery.models import Delivery, FeedItem
from eventcenter.ids import id_floor

logger = logging.getLogger(__name__)

# Small enough that no statement holds the table's vacuum or a page up for long; 5,000 take some tens of milliseconds.
DELETE_STEP_ROWS = 5_000
DELETE_MOST_STEPS = 200


class Line(NamedTuple):
    """What one delivery says. `delivery_id` is the row's id: a repeat changes nothing."""

    delivery_id: UUID
    tenant_id: int
    endpoint_id: int
    type: str
    subject: str
    severity: str
    summary: str


def insert(lines: Sequence[Line]) -> None:
    """Two statements. Raises IntegrityError when a tenant or an endpoint is no more."""
    ids = [line.delivery_id for line in lines]
    events = dict(Delivery.objects.filter(pk__in=ids).values_list("id", "event_id"))
    rows = [
        FeedItem(
            id=line.delivery_id,
            tenant_id=line.tenant_id,
            endpoint_id=line.endpoint_id,
            event_id=events.get(line.delivery_id, line.delivery_id),  # a test-send has no delivery
            type=line.type,
            subject=line.subject,
            severity=line.severity,
            summary=line.summary,
        )
        for line in lines
    ]
    # The foreign keys are checked at the commit, so this must be the whole transaction for its errors to be this call's.
    with transaction.atomic():
        FeedItem.objects.bulk_create(rows, ignore_conflicts=True)


def delete_old(now: datetime) -> int:
    """Remove lines whose event is older than RETENTION_DAYS_FEED, in steps of their own transactions. Returns how many.

    By the id, which carries the event's time: the primary key finds them.
    """
    before = id_floor(now - timedelta(days=settings.RETENTION_DAYS_FEED))
    deleted = 0
    for _ in range(DELETE_MOST_STEPS):
        oldest = FeedItem.objects.filter(pk__lt=before).order_by("pk").values("pk")[:DELETE_STEP_ROWS]
        step, _ = FeedItem.objects.filter(pk__in=oldest).delete()
        deleted += step
        if step < DELETE_STEP_ROWS:
            break
    if deleted:
        logger.info("feed.old_deleted", extra={"count": deleted})
    return deleted
