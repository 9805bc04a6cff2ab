from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from delivery.approvals import escalation
from delivery.approvals.escalation import Death, escalated_among, is_escalated
from delivery.failures import DeadDelivery, announce
from delivery.health.endpoints import disabled_key, failing_key
from delivery.models import Alert, AlertContact, AlertSeverity, Delivery, Escalation, Incident, Page
from delivery.states import DeliveryStatus
from eventcenter.envelope import Envelope
from eventcenter.models import EventType
from subscriptions.models import Channel, EndpointState
from tests.delivery.approvals.desk import escalate, escalated
from tests.factories import DeliveryFactory, EndpointFactory, SubscriptionFactory

pytestmark = pytest.mark.django_db
FAILED = ["event.delivery.failed"]


def news_of(delivery: Delivery) -> dict[UUID, Envelope]:
    now = timezone.now()
    return announce([DeadDelivery(delivery.pk, delivery.replays, "spent", 10, 503, "refused", now)])


def note(delivery: Delivery, news: dict[UUID, Envelope] | None = None) -> list[str]:
    """The causes that are kept."""
    death = Death(delivery.pk, delivery.tenant_id, delivery.endpoint_id, delivery.replays, timezone.now())
    escalation.note([death], news or {})
    return list(Escalation.objects.filter(pk=delivery.pk).values_list("cause", flat=True))


def alert(key: str, **values: object) -> None:
    Alert.objects.create(kind="endpoint.failing", dedup_key=key, severity=AlertSeverity.WARNING, summary="…", **values)


@pytest.mark.parametrize(
    ("values", "causes"),
    [
        ({"channel": Channel.PAGERDUTY, "url": ""}, ["paged"]),
        ({"template": "pagerduty"}, ["paged"]),
        ({"template": "slack"}, []),
        ({"channel": Channel.PAGERDUTY, "url": "", "state": EndpointState.DISABLED}, []),
    ],
)
def test_death_is_escalated_when_its_news_go_to_pagerduty(
    event_types: list[EventType], values: dict[str, object], causes: list[str]
) -> None:
    delivery = DeliveryFactory(dead=True)
    pager = EndpointFactory(tenant=delivery.tenant, **values)
    SubscriptionFactory(endpoint=pager, types=FAILED)
    assert note(delivery, news_of(delivery)) == causes


def test_death_is_not_escalated_when_another_tenant_has_the_pager(event_types: list[EventType]) -> None:
    delivery = DeliveryFactory(dead=True)
    SubscriptionFactory(endpoint=EndpointFactory(channel=Channel.PAGERDUTY, url=""), types=FAILED)
    assert note(delivery, news_of(delivery)) == []


@pytest.mark.parametrize("key", [failing_key, disabled_key])
def test_death_is_escalated_when_its_endpoint_has_an_open_alert(key: object) -> None:
    delivery = DeliveryFactory(dead=True)
    assert callable(key)
    alert(key(delivery.endpoint_id))
    assert note(delivery) == ["alert"]


def test_death_is_not_escalated_when_the_alert_is_resolved_or_anothers() -> None:
    delivery = DeliveryFactory(dead=True)
    alert(failing_key(delivery.endpoint_id), state="resolved", resolved_at=timezone.now())
    alert(failing_key(delivery.endpoint_id + 1))
    alert(f"secret.due:{delivery.endpoint_id}")
    assert note(delivery) == []


def incident(endpoint_id: int, action: str | None, waits: bool = True, **values: object) -> None:
    """Of an endpoint, with a page of that action, which waits to be sent or was given up."""
    made = Incident.objects.create(cause=f"endpoint:{endpoint_id}", severity="critical", summary="…", **values)
    contact = AlertContact.objects.create(name="on call", channel="email", address="on-call@example.com")
    if action is not None:
        next_at = timezone.now() if waits else None
        Page.objects.create(incident=made, contact=contact, action=action, next_at=next_at)


def test_death_is_escalated_when_an_open_incident_of_its_endpoint_called_somebody() -> None:
    delivery = DeliveryFactory(dead=True)
    incident(delivery.endpoint_id, "trigger")
    assert note(delivery) == ["rule"]
    alert(failing_key(delivery.endpoint_id))
    assert note(delivery) == ["alert"]


@pytest.mark.parametrize(
    ("other", "action", "values"),
    [
        (0, None, {}),  # nobody was to be called, or it was muted
        (0, "trigger", {"resolved_at": timezone.now()}),
        (1, "trigger", {}),
        (0, "trigger", {"waits": False}),
    ],
)
def test_death_is_not_escalated_when_its_endpoints_incident_called_nobody_or_is_over(
    other: int, action: str | None, values: dict[str, Any]
) -> None:
    delivery = DeliveryFactory(dead=True)
    incident(delivery.endpoint_id + other, action, **values)
    assert note(delivery) == []


def test_escalation_counts_for_its_round_alone() -> None:
    delivery = escalate(DeliveryFactory(dead=True, replays=1), replays=0)
    assert not is_escalated(delivery)
    alert(failing_key(delivery.endpoint_id))
    note(delivery)
    assert is_escalated(delivery)
    assert Escalation.objects.get().replays == 1


def test_only_the_dead_are_escalated() -> None:
    dead, open_again = escalated(), escalated()
    Delivery.objects.filter(pk=open_again.pk).update(status=DeliveryStatus.PENDING)
    other = DeliveryFactory(dead=True)
    assert escalated_among([dead.pk, open_again.pk, other.pk]) == {dead.pk}
