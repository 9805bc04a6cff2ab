"""Replay: a delivery that has ended begins a new round, under the same webhook-id."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.trail import Actor, record
from delivery import hints, store
from delivery.ingest import UNCLAIMED_LEASE_S
from delivery.models import Delivery
from delivery.states import OPEN_STATUSES, DeliveryStatus
from delivery.store import NewDispatch
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


def replay(delivery_id: UUID, actor: Actor) -> ReplayResult:
    """Queue another round with a fresh schedule; attempts are numbered on. One transaction; the hint goes out after it.

    Of two people who press at once, one wins: the other is told that it is open already.
    """
    delivery = Delivery.objects.select_related("tenant").filter(pk=delivery_id).first()
    if delivery is None:
        return ReplayResult("There is no such delivery; its days of retention may be over.")
    endpoint = Endpoint.objects.filter(pk=delivery.endpoint_id).first()
    refusal = refusal_of(delivery, endpoint)
    if refusal or endpoint is None:
        return ReplayResult(refusal)
    if not _queue(delivery, endpoint, actor):
        return ReplayResult("It is open already: somebody else replayed it just now.")
    logger.info("delivery.replayed", extra={"delivery_id": str(delivery_id), "actor": actor.name})
    return ReplayResult(note=_note(endpoint))


def refusal_of(delivery: Delivery, endpoint: Endpoint | None) -> str:
    """Why the delivery cannot be replayed as things stand; "" when it can."""
    if delivery.state in OPEN_STATUSES:
        return "It is open: it has not ended yet, so there is nothing to replay."
    if endpoint is None:
        return "Its endpoint was deleted."
    if endpoint.state == EndpointState.DISABLED:
        return "Its endpoint is disabled, so a replay would end as dead at once. Enable the endpoint first."
    if not Event.objects.filter(pk=delivery.event_id).exists():
        return "Its event's days of retention are over, so there is nothing left to send."
    return ""


def _queue(delivery: Delivery, endpoint: Endpoint, actor: Actor) -> bool:
    now = timezone.now()
    with transaction.atomic():
        moved = delivery.move(
            DeliveryStatus.PENDING,
            replays=F("replays") + 1,
            tries=0,
            round_at=now,
            next_attempt_at=None,
            due_at=None,
            held_reason="",
            finished_at=None,
            dead_at=None,
            dead_reason="",
        )
        if not moved:
            return False
        made = store.insert_dispatches([NewDispatch(endpoint.lane, [delivery.pk])], UNCLAIMED_LEASE_S, now)
        details: dict[str, object] = {"from": delivery.status, "attempts": delivery.attempts}
        record(delivery.tenant.slug, actor, "delivery.replayed", f"delivery:{delivery.pk}", details)
        transaction.on_commit(lambda: hints.publish(made))
    return True


def _note(endpoint: Endpoint) -> str:
    if endpoint.state == EndpointState.PAUSED:
        return "Its endpoint is paused: the delivery waits until the endpoint is resumed."
    return ""
