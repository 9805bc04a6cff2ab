"""Replay of one delivery by hand: a delivery that has ended begins a new round, under the same webhook-id."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from audit.trail import Actor, record
from delivery import hints
from delivery.approvals import rules
from delivery.approvals.escalation import is_escalated
from delivery.models import Delivery
from delivery.replays import moving
from delivery.states import OPEN_STATUSES, DeliveryStatus
from eventcenter.models import Event
from subscriptions.models import Endpoint, EndpointState

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """`refusal` says to people why nothing was queued; empty when it was. `note`: what they should know besides."""

    refusal: str = ""
    note: str = ""

    def __bool__(self) -> bool:
        return not self.refusal


def replay(delivery_id: UUID, actor: Actor, *, approved: bool = False) -> ReplayResult:
    """Queue another round with a fresh schedule; attempts are numbered on. One transaction; the hint goes out after it.

    Of two people who press at once, one wins: the other is told that it is open already. `approved`: a second person
    agreed, which a death that called somebody takes (docs/adr/0019).
    """
    delivery = Delivery.objects.select_related("tenant").filter(pk=delivery_id).first()
    if delivery is None:
        return ReplayResult("There is no such delivery; its days of retention may be over.")
    endpoint = Endpoint.objects.filter(pk=delivery.endpoint_id).first()
    refusal = refusal_of(delivery, endpoint)
    if refusal or endpoint is None:
        return ReplayResult(refusal)
    needs = "" if approved else why_approval(delivery)
    if needs:
        return ReplayResult(f"{needs} A second person must approve it.")
    if not _queue(delivery, endpoint, actor):
        return ReplayResult("It is open already: somebody else replayed it just now.")
    logger.info("delivery.replayed", extra={"delivery_id": str(delivery_id), "actor": actor.name})
    return ReplayResult(note=_note(endpoint))


def refusal_of(delivery: Delivery, endpoint: Endpoint | None) -> str:
    """Why the delivery cannot be replayed as things stand; "" when it can."""
    if delivery.state in OPEN_STATUSES:
        return moving.OPEN
    has_event = Event.objects.filter(pk=delivery.event_id).exists()
    return moving.refusal_of(endpoint.state if endpoint else None, has_event)


def why_approval(delivery: Delivery) -> str:
    """Why a second person must agree to its replay, or to pass over it; "" when nobody need be asked."""
    return rules.why_delivery(dead=delivery.state is DeliveryStatus.DEAD, escalated=is_escalated(delivery))


def _queue(delivery: Delivery, endpoint: Endpoint, actor: Actor) -> bool:
    with transaction.atomic():
        moved, made = moving.requeue([delivery.pk], endpoint.lane, timezone.now())
        if not moved:
            return False
        details: dict[str, object] = {"from": delivery.status, "attempts": delivery.attempts}
        record(delivery.tenant.slug, actor, "delivery.replayed", f"delivery:{delivery.pk}", details)
        transaction.on_commit(lambda: hints.publish(made))
    return True


def _note(endpoint: Endpoint) -> str:
    if endpoint.state == EndpointState.PAUSED:
        return "Its endpoint is paused: the delivery waits until the endpoint is resumed."
    return ""
