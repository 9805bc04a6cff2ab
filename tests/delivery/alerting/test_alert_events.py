"""Alerts as events: what they say, to whom, and that they make no more of themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from pytest_django import Settings

from delivery.alerting.alert_events import FIRING_TYPE, RESOLVED_TYPE
from delivery.alerting.incidents import joined, left
from delivery.alerts import raise_alert
from delivery.alerts import resolve as resolve_alert
from delivery.health.endpoint_events import FAILING_TYPE
from delivery.models import Alert, AlertSeverity, Attempt, Delivery
from eventcenter.envelope import Envelope, parse_structured
from eventcenter.models import IdempotencyKey, OutboxMessage
from eventcenter.publishing import find_problems
from eventcenter.registry import schemas, sync_event_types
from subscriptions.models import Endpoint, Tenant
from tests.delivery.alerting.calls import NOW, make_alert, resolve
from tests.delivery.worker.desk import Desk, Make
from tests.factories import EndpointFactory, SubscriptionFactory, TenantFactory
from tests.fakes.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db
MEASURED = {"value": 0.1, "threshold": 0.05, "window_s": 300}


@pytest.fixture
def endpoint() -> Endpoint:
    return EndpointFactory(tenant__slug="acme", slug="ci-cd")


def kept() -> list[Envelope]:
    """What is in the outbox, in its order."""
    return [parse_structured(bytes(row.body)) for row in OutboxMessage.objects.order_by("id")]


def data_of(envelope: Envelope) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(envelope.data or b"")
    return found


def about(endpoint: Endpoint) -> dict[str, Any]:
    return {"tenant_id": endpoint.tenant_id, "endpoint_id": endpoint.pk}


def test_firing_and_resolved_say_what_their_schemas_take(endpoint: Endpoint, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://events.example.com"
    alert = make_alert(details=MEASURED, **about(endpoint))
    incident = joined(alert, NOW)
    left(resolve(alert), NOW + timedelta(minutes=5))

    firing, resolved = kept()
    assert (firing.type, firing.tenant, firing.subject) == (FIRING_TYPE, "acme", "ci-cd")
    assert (resolved.type, resolved.id) == (RESOLVED_TYPE, f"{alert.pk}-resolved")
    said = data_of(firing)
    assert (said["kind"], said["severity"], said["endpoint"]) == ("failure_rate", "critical", "ci-cd")
    assert {name: said[name] for name in MEASURED} == MEASURED
    assert (said["incident_id"], said["cause"]) == (str(incident.pk), f"endpoint:{endpoint.pk}")
    assert said["console_url"] == f"https://events.example.com/console/alerts/{alert.pk}"
    assert said["runbook_url"] == "https://events.example.com/runbook#failure-rate"
    assert data_of(resolved) == said | {"resolved_at": "2026-01-01T12:05:00Z"}
    sync_event_types()
    for envelope in (firing, resolved):
        assert find_problems(envelope, "acme", schemas.get()) == []


def test_links_are_left_out_when_nobody_knows_the_host(endpoint: Endpoint, settings: Settings) -> None:
    settings.PUBLIC_URL, settings.RUNBOOK_URL = "", "https://wiki.example.com/runbook"
    joined(make_alert(**about(endpoint)), NOW)
    said = data_of(kept()[0])
    assert said["console_url"] is None
    assert said["runbook_url"] == "https://wiki.example.com/runbook#failure-rate"
    assert said["value"] is None


def test_an_alert_says_each_of_its_turns_once(endpoint: Endpoint) -> None:
    alert = make_alert(severity="warning", **about(endpoint))
    joined(alert, NOW)
    joined(alert, NOW + timedelta(seconds=15))
    alert.severity = "critical"
    joined(alert, NOW + timedelta(seconds=30))
    left(resolve(alert), NOW)
    assert [(envelope.type, data_of(envelope)["severity"]) for envelope in kept()] == [
        (FIRING_TYPE, "warning"),
        (FIRING_TYPE, "critical"),
        (RESOLVED_TYPE, "critical"),
    ]


def test_alert_of_the_platform_goes_to_the_tenant_that_is_named_for_it(settings: Settings) -> None:
    TenantFactory(slug="acme")
    for named, told in (("", 0), ("nobody", 0), ("acme", 1)):
        settings.OPS_TENANT = named
        joined(make_alert("consumer_lag"), NOW)
        assert len(kept()) == told
    assert (kept()[0].tenant, kept()[0].subject) == ("acme", "consumer_lag")


def test_inactive_tenant_is_told_nothing(endpoint: Endpoint) -> None:
    Tenant.objects.update(active=False)
    joined(make_alert(**about(endpoint)), NOW)
    assert kept() == []


def test_endpoint_that_refuses_the_news_of_its_own_failing_makes_no_more_of_it(
    endpoint: Endpoint, receiver: Receiver, desk: Desk, make: Make
) -> None:
    """Its alert is open: what fails afterwards, that news among it, only keeps it open. Two events for a whole outage."""
    Endpoint.objects.filter(pk=endpoint.pk).update(url=receiver.url("/down"))
    receiver.script("/down", *[Answer(500)] * 30)
    subscription = SubscriptionFactory(endpoint=Endpoint.objects.get(pk=endpoint.pk), types=["ops.alert.*"])

    def seen(seconds: int) -> None:
        raise_alert(
            FAILING_TYPE, "failing", AlertSeverity.WARNING, "down", NOW + timedelta(seconds=seconds), **about(endpoint)
        )
        joined(Alert.objects.get(), NOW + timedelta(seconds=seconds))

    for number in range(6):
        seen(15 * number)
        desk.deliver(make(subscription=subscription, event__type=FIRING_TYPE))

    assert Attempt.objects.exclude(outcome="delivered").count() == Delivery.objects.count() == 6
    assert IdempotencyKey.objects.count() == 1  # of all events that were ever kept
    resolve_alert("failing", NOW)
    left(Alert.objects.get(), NOW)
    assert IdempotencyKey.objects.count() == 2
