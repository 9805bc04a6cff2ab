"""By hand: a dead delivery that holds up its line is passed over, and the next one goes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from audit.trail import Actor, record
from delivery import hints, store
from delivery.approvals.escalation import is_escalated
from delivery.approvals.rules import ESCALATED
from delivery.ingest import UNCLAIMED_LEASE_S
from delivery.models import Delivery, DispatchLane, OrderedDelivery
from delivery.order import ordering
from delivery.states import DeliveryStatus
from delivery.store import NewDispatch

logger = logging.getLogger(__name__)

IN_NO_LINE = "Nothing waits for it."


@dataclass(frozen=True, slots=True)
class PassedOver:
    """`refusal` says to people why nothing was done; empty when it was."""

    refusal: str = ""

    def __bool__(self) -> bool:
        return not self.refusal


def pass_over(delivery_id: UUID, actor: Actor, *, approved: bool = False) -> PassedOver:
    """The delivery stays dead and leaves its line for good; a replay of it goes beside the others from then on.

    One transaction with its audit entry; the hint goes out after it. `approved`: a second person agreed, which a death
    that called somebody takes (docs/adr/0019).
    """
    with transaction.atomic():
        # The row first and the line's lock second, as a replay takes them.
        found = Delivery.objects.select_for_update(of=("self",)).select_related("tenant").filter(pk=delivery_id)
        delivery = found.first()
        if delivery is None:
            return PassedOver("There is no such delivery; its days of retention may be over.")
        if delivery.state != DeliveryStatus.DEAD:
            return PassedOver("It is not dead: only a dead delivery can be passed over.")
        if not approved and is_escalated(delivery):
            return PassedOver(f"{ESCALATED} A second person must approve it.")
        following = ordering.step_aside(delivery_id, ordering.orderings_of([delivery.subscription_id]))
        if following is None:
            return PassedOver(IN_NO_LINE)
        details: dict[str, object] = {"next": [str(row) for row in following], "dead_reason": delivery.dead_reason}
        record(delivery.tenant.slug, actor, "delivery.passed_over", f"delivery:{delivery_id}", details)
        _send_off(following)
    logger.info("delivery.passed_over", extra={"delivery_id": str(delivery_id), "actor": actor.name})
    return PassedOver()


def in_line(delivery_id: UUID) -> bool:
    """Whether deliveries of its partition key may be waiting for it."""
    return OrderedDelivery.objects.filter(delivery_id=delivery_id).exists()


def _send_off(ids: list[UUID]) -> None:
    if ids:
        made = store.insert_dispatches([NewDispatch(DispatchLane.RETRY.value, ids)], UNCLAIMED_LEASE_S, timezone.now())
        transaction.on_commit(partial(hints.publish, made))
