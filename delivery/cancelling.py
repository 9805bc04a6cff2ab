"""Cancelling: open deliveries end here, by hand. One, or as many as one transaction holds.

Nobody is waited for who may wait for us. Workers hold the rows that they record and then want the lock of their line
(delivery.order.ordering); so do we, for what is on its way. What is parked belongs to whoever has its line's lock, so it is
taken under that. A row that somebody else has in hand at this moment is left alone; the caller comes back for it.

A worker that is sending one of them finds it ended when it records (delivery.store.RECORD): its result has no effect. A
dispatch that still names one sends nothing of it (delivery.store.LOAD).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from audit.trail import Actor, record
from delivery import cancelling_store as rows
from delivery import hints, store
from delivery.ingest import UNCLAIMED_LEASE_S
from delivery.models import Delivery, DispatchLane
from delivery.order import ordering
from delivery.outcome import ErrorKind
from delivery.planning import DISPATCH_DELIVERIES
from delivery.states import OPEN_STATUSES, DeliveryStatus
from delivery.store import Hint, NewDispatch

logger = logging.getLogger(__name__)

GONE = "There is no such delivery; its days of retention may be over."
BUSY = "It is being recorded at this very moment. Try again."
# Each is lost only to somebody who moved the delivery or its line in between.
TRIES = 5


@dataclass(frozen=True, slots=True)
class CancelResult:
    """`refusal` says to people why nothing was cancelled; empty when it was."""

    refusal: str = ""

    def __bool__(self) -> bool:
        return not self.refusal


@dataclass(frozen=True, slots=True)
class Taken:
    """`left`: those that are still open, because somebody else has them in hand. `hints`: to publish after the commit."""

    cancelled: set[UUID]
    left: set[UUID]
    hints: list[Hint]


def cancel(delivery_id: UUID, actor: Actor) -> CancelResult:
    """End one open delivery. One transaction with its audit entry; the next of its partition key goes after it.

    Of two people who press at once, or a worker that ends it first, one wins: the other is told how it ended.
    """
    refusal = ""
    for _ in range(TRIES):
        with transaction.atomic():
            delivery = _in_hand(delivery_id) or _found(delivery_id)
            refusal = refusal_of(delivery)
            if delivery is None or refusal:
                return CancelResult(refusal)
            if _cancelled(delivery, actor):
                logger.info("delivery.cancelled", extra={"delivery_id": str(delivery_id), "actor": actor.name})
                return CancelResult()
    return CancelResult(BUSY)


def refusal_of(delivery: Delivery | None) -> str:
    """Why the delivery cannot be cancelled as things stand; "" when it can."""
    if delivery is None:
        return GONE
    if delivery.state in OPEN_STATUSES:
        return ""
    return f"It is no longer open: it is {delivery.get_status_display().lower()} already."


def _in_hand(delivery_id: UUID) -> Delivery | None:
    """Locked, after waiting for who records it; None where it is not open, or parked, which is not waited for."""
    mine = Delivery.objects.open().select_for_update(of=("self",)).select_related("tenant")
    return mine.filter(pk=delivery_id).exclude(held_reason=ErrorKind.ORDERING).first()


def _found(delivery_id: UUID) -> Delivery | None:
    return Delivery.objects.select_related("tenant").filter(pk=delivery_id).first()


def _cancelled(delivery: Delivery, actor: Actor) -> bool:
    taken = take([delivery.pk], timezone.now())
    if not taken.cancelled:
        return False
    details: dict[str, object] = {"from": delivery.status, "attempts": delivery.attempts}
    record(delivery.tenant.slug, actor, "delivery.cancelled", f"delivery:{delivery.pk}", details)
    transaction.on_commit(partial(hints.publish, taken.hints))
    return True


def take(ids: Sequence[UUID], now: datetime) -> Taken:
    """In the caller's transaction, which changes no other line: end those that are open, and send off who is next.

    What has ended by itself meanwhile is neither cancelled nor left.
    """
    assert connection.in_atomic_block, "the deliveries and the dispatches of those behind them commit together"
    if not ids:
        return Taken(set(), set(), [])
    ended = dict(rows.cancel(ids, now, parked=False))
    if ordering.lock(ids):
        ended |= rows.cancel(ids, now, parked=True)
    left = rows.still_open([item for item in ids if item not in ended]) if len(ended) < len(set(ids)) else set()
    return Taken(set(ended), left, _next_in_order(ended, now))


def _next_in_order(ended: dict[UUID, int], now: datetime) -> list[Hint]:
    """`ended`: delivery → subscription."""
    if not ended:
        return []
    gone = [ordering.Ended(item, of, DeliveryStatus.CANCELLED.value) for item, of in ended.items()]
    heads = ordering.finish(gone, ordering.orderings_of(ended.values()))
    batches = [
        NewDispatch(DispatchLane.RETRY.value, heads[start : start + DISPATCH_DELIVERIES])
        for start in range(0, len(heads), DISPATCH_DELIVERIES)
    ]
    return store.insert_dispatches(batches, UNCLAIMED_LEASE_S, now)
