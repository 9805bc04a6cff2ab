"""Whether a delivery's death called a person: noted when it dies, asked for when somebody wants to act on it.

This is the one place that says what "escalated" means (docs/adr/0019).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef

from delivery.alerting.pages import told
from delivery.health.endpoints import disabled_key, failing_key
from delivery.models import Alert, AlertState, Delivery, Escalation, EscalationCause, Incident
from delivery.states import DeliveryStatus
from eventcenter.envelope import Envelope
from eventcenter.ids import id_floor
from subscriptions.models import Channel, EndpointState
from subscriptions.routing import Sink, delivery_settings, routing

PAGING_TEMPLATE = "pagerduty"
IDS_MOST_DELETED = 50_000


class Death(NamedTuple):
    """`replays`: which round it was."""

    delivery_id: UUID
    tenant_id: int
    endpoint_id: int
    replays: int
    at: datetime


def note(deaths: Sequence[Death], news: Mapping[UUID, Envelope]) -> None:
    """In the transaction of the deaths: keep those that called a person. `news`: each one's event.delivery.failed, where
    there is one. Three statements at most; only rows of these deliveries are locked.
    """
    told = _told({death.endpoint_id for death in deaths})
    rows = [
        Escalation(
            delivery_id=death.delivery_id,
            tenant_id=death.tenant_id,
            endpoint_id=death.endpoint_id,
            replays=death.replays,
            cause=cause,
            at=death.at,
        )
        for death in deaths
        if (cause := _cause(death, news.get(death.delivery_id), told)) is not None
    ]
    if rows:
        changed = ["replays", "cause", "at", "noticed_at"]
        Escalation.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["delivery_id"], update_fields=changed
        )


def _cause(death: Death, news: Envelope | None, told: Mapping[int, EscalationCause]) -> EscalationCause | None:
    if news is not None and _pages(news):
        return EscalationCause.PAGED
    return told.get(death.endpoint_id)


def _pages(news: Envelope) -> bool:
    """Whether a subscription of its tenant takes it to PagerDuty."""
    routes = routing.get().tenant(news.tenant)
    sinks = delivery_settings.get().sinks
    found = (sinks.get(route.endpoint_id) for route in routes.match(news)) if routes else ()
    return any(sink is not None and is_paging(sink) for sink in found)


def is_paging(sink: Sink) -> bool:
    pages = sink.channel == Channel.PAGERDUTY or sink.template == PAGING_TEMPLATE
    return pages and sink.state != EndpointState.DISABLED


def _told(endpoint_ids: Collection[int]) -> dict[int, EscalationCause]:
    """Endpoints of which people were told already, and how."""
    if not endpoint_ids:
        return {}
    called = dict.fromkeys(_called(endpoint_ids), EscalationCause.RULE)
    return called | dict.fromkeys(_alerted(endpoint_ids), EscalationCause.ALERT)


def _alerted(endpoint_ids: Collection[int]) -> set[int]:
    """Those for which people were told that it fails, or that the system disabled it. Index: alert_open_once_a_key."""
    keys = {key(endpoint_id): endpoint_id for endpoint_id in endpoint_ids for key in (failing_key, disabled_key)}
    firing = Alert.objects.filter(dedup_key__in=keys, resolved_at=None, state=AlertState.FIRING)
    return {keys[key] for key in firing.values_list("dedup_key", flat=True)}


def _called(endpoint_ids: Collection[int]) -> set[int]:
    """Those of which an incident is open that called somebody by an alert rule. Index: incident_open_once_a_cause, then the
    pages' by incident."""
    causes = {f"endpoint:{endpoint_id}": endpoint_id for endpoint_id in endpoint_ids}
    incidents = Incident.objects.filter(Exists(told(OuterRef("pk"))), cause__in=causes, resolved_at=None)
    return {causes[cause] for cause in incidents.values_list("cause", flat=True)}


def escalated_among(ids: Sequence[UUID]) -> set[UUID]:
    """Those that are dead, and whose death in this round called a person. Two queries at most."""
    rounds = dict(Escalation.objects.filter(pk__in=ids).values_list("delivery_id", "replays"))
    if not rounds:
        return set()
    dead = Delivery.objects.filter(pk__in=rounds, pk__range=(min(rounds), max(rounds)), status=DeliveryStatus.DEAD)
    return {pk for pk, replays in dead.values_list("pk", "replays") if rounds[pk] == replays}


def is_escalated(delivery: Delivery) -> bool:
    return delivery.state is DeliveryStatus.DEAD and bool(escalated_among([delivery.pk]))


def delete_old(now: datetime) -> int:
    """What is said of deliveries whose days are over. By the id, which carries the time."""
    before = id_floor(now - timedelta(days=settings.RETENTION_DAYS["delivery_delivery"] + 1))
    oldest = Escalation.objects.filter(pk__lt=before).order_by("pk").values("pk")[:IDS_MOST_DELETED]
    deleted, _ = Escalation.objects.filter(pk__in=oldest).delete()
    return deleted
