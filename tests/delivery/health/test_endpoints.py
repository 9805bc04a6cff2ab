"""What ends an endpoint and what is said of it: audit entry, event on the bus and alert, all or nothing."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from audit.models import AuditEntry
from audit.trail import Actor
from delivery.health.breaker import Health
from delivery.health.endpoints import GONE_REASON, disable_gone, disabled_key, failing_key, next_step, watch
from delivery.models import Alert, Breaker
from eventcenter.envelope import Envelope, parse_structured
from eventcenter.models import OutboxMessage
from eventcenter.schemas import SchemaSet, load_schemas
from subscriptions.models import Endpoint, EndpointState, Tenant
from subscriptions.services import disable, pause, resume
from tests.factories import EndpointFactory

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
EVA = Actor("user:eva")
LIMIT = timedelta(days=5)
SCHEMAS = SchemaSet(load_schemas(Path(__file__).parents[3] / "config" / "events" / "schemas"))


def failing(endpoint: Endpoint, percent: float, now: datetime = NOW, **values: Any) -> Breaker:
    """Failing since so much of the limit, the last failure just now."""
    about = {"endpoint_id": endpoint.pk, "tenant_id": endpoint.tenant_id}
    given = {"failing_since": now - LIMIT * percent / 100, "window_at": now, "consecutive": 12, "failed": 3}
    row, _ = Breaker.objects.update_or_create(**about, defaults=given | values)
    return row


def events() -> list[Envelope]:
    """What waits in the outbox, oldest first, but for the alerts' own events; each is right by its schema."""
    found = [parse_structured(bytes(row.body)) for row in OutboxMessage.objects.order_by("id")]
    for envelope in found:
        assert SCHEMAS.problems(envelope.type, None, envelope.datacontenttype, envelope.data, envelope.tenant) == []
    return [envelope for envelope in found if not envelope.type.startswith("ops.alert.")]


def open_alerts() -> list[tuple[str, str]]:
    return list(Alert.objects.filter(resolved_at=None).order_by("dedup_key").values_list("dedup_key", "severity"))


@pytest.mark.parametrize("state", [EndpointState.ENABLED, EndpointState.PAUSED])
def test_endpoint_is_disabled_with_an_audit_entry_when_it_is_gone(state: EndpointState) -> None:
    endpoint, other = EndpointFactory(state=state), EndpointFactory()
    delivery_id = uuid4()
    assert disable_gone(endpoint.pk, delivery_id)
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.state_reason) == (EndpointState.DISABLED, GONE_REASON)
    raised, entry = AuditEntry.objects.order_by("pk")
    assert (raised.chain, raised.action) == (entry.chain, "alert.raised")
    assert (entry.chain, entry.actor) == (endpoint.tenant.slug, "system:worker")
    assert entry.details == {"reason": GONE_REASON, "delivery": str(delivery_id)}
    assert Endpoint.objects.get(pk=other.pk).state == EndpointState.ENABLED


def test_subscribers_and_ops_are_told_when_an_endpoint_is_gone() -> None:
    endpoint = EndpointFactory()

    assert disable_gone(endpoint.pk, uuid4())

    (event,) = events()
    assert (event.type, event.tenant, event.subject) == ("endpoint.disabled", endpoint.tenant.slug, endpoint.slug)
    data = json.loads(event.data)
    assert (data["cause"], data["reason"], data["failing_since"]) == ("gone", GONE_REASON, None)
    assert endpoint.url not in event.data.decode()
    assert open_alerts() == [(disabled_key(endpoint.pk), "critical")]


def test_nothing_happens_when_an_admin_disabled_it_before() -> None:
    endpoint = EndpointFactory(state=EndpointState.DISABLED, state_reason="moved away")
    assert not disable_gone(endpoint.pk, uuid4())
    endpoint.refresh_from_db()
    assert endpoint.state_reason == "moved away"
    assert not AuditEntry.objects.exists()
    assert events() == open_alerts() == []


def test_nothing_happens_when_it_was_deleted() -> None:
    assert not disable_gone(2**40, uuid4())
    assert not AuditEntry.objects.exists()


def test_entry_event_alert_and_state_go_together_when_the_transaction_fails() -> None:
    endpoint = EndpointFactory()
    with transaction.atomic():
        assert disable_gone(endpoint.pk, uuid4())
        transaction.set_rollback(True)
    assert Endpoint.objects.get().state == EndpointState.ENABLED
    assert not AuditEntry.objects.exists()
    assert events() == open_alerts() == []


@pytest.mark.parametrize(
    ("percent", "warned", "warned_percent_ago", "step"),
    [
        (49.9, 0, None, 0),
        (50, 0, None, 50),
        (69.9, 50, 19, 0),
        (70, 50, 20, 70),
        (95, 0, None, 90),
        (99.9, 90, 9.9, 0),
        (100, 90, 10, 100),
        (100, 90, None, 100),
        (130, 0, None, 90),
        (130, 90, 9.9, 0),
        (140, 90, 10, 100),
    ],
)
def test_steps_are_those_of_the_table(percent: float, warned: int, warned_percent_ago: float | None, step: int) -> None:
    health = Health(failing_since=NOW - LIMIT * percent / 100, window_at=NOW, warned_percent=warned)
    warned_at = None if warned_percent_ago is None else NOW - LIMIT * warned_percent_ago / 100

    assert next_step(health, LIMIT, warned_at) == step


def test_each_warning_is_given_once_and_then_it_is_disabled() -> None:
    """Five days of failures, looked at every hour by two sweeps."""
    endpoint = EndpointFactory()
    since = NOW - LIMIT
    seen = []
    for hour in range(123):
        now = since + timedelta(hours=hour)
        if Endpoint.objects.get().state == EndpointState.ENABLED:
            failing(endpoint, 0, now, failing_since=since)
        watch(now)
        watch(now)
        seen.append((hour, len(events())))

    steps = [hour for (hour, count), (_, before) in zip(seen[1:], seen, strict=False) if count > before]
    assert steps == [60, 84, 108, 120]
    data = [json.loads(event.data) for event in events()]
    assert [event.type for event in events()] == ["endpoint.failing"] * 3 + ["endpoint.disabled"]
    assert [item.get("percent") for item in data] == [50, 70, 90, None]
    assert {event.tenant for event in events()} == {endpoint.tenant.slug}
    told = AuditEntry.objects.exclude(action__startswith="alert.").order_by("id")
    entries = list(told.values_list("action", "actor", "target"))
    target = f"endpoint:{endpoint.pk}"
    assert entries == [("endpoint.failing", "system:sweep", target)] * 3 + [
        ("endpoint.disabled", "system:sweep", target)
    ]
    assert open_alerts() == [(disabled_key(endpoint.pk), "critical")]


def test_disabled_endpoint_tells_since_when_it_failed() -> None:
    endpoint = EndpointFactory()
    failing(endpoint, 101, warned_percent=90, reason="The probe failed: answered 503", state="open")

    watch(NOW)

    endpoint.refresh_from_db()
    since = NOW - LIMIT * 1.01
    assert endpoint.state == EndpointState.DISABLED
    assert endpoint.state_reason == f"It took nothing from {since:%Y-%m-%d %H:%M} UTC on, for 120 hours."
    (event,) = events()
    data = json.loads(event.data)
    assert (data["cause"], data["reason"]) == ("failing", endpoint.state_reason)
    assert datetime.fromisoformat(data["failing_since"]) == since
    alert = Alert.objects.get()
    assert alert.details["failing_since"] == since.isoformat()
    assert (alert.tenant_id, alert.endpoint_id) == (endpoint.tenant_id, endpoint.pk)


def test_nothing_more_is_said_when_nothing_was_sent_since() -> None:
    """One failure five days ago, and no traffic."""
    endpoint = EndpointFactory()
    failing(endpoint, 0, NOW - LIMIT)
    failing(endpoint, 60, NOW - LIMIT)
    watch(NOW)
    assert len(events()) == 1

    watch(NOW + 2 * LIMIT)

    assert len(events()) == 1
    assert Endpoint.objects.get().state == EndpointState.ENABLED


def test_it_is_warned_first_when_its_second_failure_comes_after_the_limit() -> None:
    endpoint = EndpointFactory()
    failing(endpoint, 200)

    watch(NOW)
    watch(NOW + timedelta(seconds=5))
    assert Endpoint.objects.get().state == EndpointState.ENABLED
    assert [json.loads(event.data)["percent"] for event in events()] == [90]

    failing(endpoint, 0, NOW + LIMIT / 10, failing_since=NOW - 2 * LIMIT)
    watch(NOW + LIMIT / 10)
    assert Endpoint.objects.get().state == EndpointState.DISABLED


def test_limit_is_the_settings(settings: Settings) -> None:
    settings.ENDPOINT_DISABLE_AFTER_HOURS = 1
    failing(EndpointFactory(), 0, failing_since=NOW - timedelta(minutes=60), warned_percent=90)

    watch(NOW)

    assert Endpoint.objects.get().state == EndpointState.DISABLED


def test_alert_is_resolved_when_the_endpoint_is_well_again() -> None:
    endpoint = EndpointFactory()
    failing(endpoint, 55)
    watch(NOW)
    assert open_alerts() == [(failing_key(endpoint.pk), "warning")]

    failing(endpoint, 0, failing_since=None, warned_percent=0, consecutive=0)
    watch(NOW + timedelta(seconds=5))

    assert open_alerts() == []
    assert Alert.objects.get().resolved_at == NOW + timedelta(seconds=5)


def test_enabled_again_it_begins_anew_and_its_alert_is_resolved() -> None:
    endpoint = EndpointFactory()
    failing(endpoint, 101, warned_percent=90, state="open", next_probe_at=NOW, openings=50)
    watch(NOW)
    assert Breaker.objects.values_list("state", "failing_since", "openings", "warned_percent").get() == (
        "closed",
        None,
        0,
        0,
    )
    late = NOW + timedelta(seconds=1)  # a result that a worker wrote after it was disabled
    failing(endpoint, 0, late, state="open", openings=1)
    watch(late)
    assert open_alerts() == [(disabled_key(endpoint.pk), "critical")]

    assert resume(endpoint, EVA, approved=True)
    for days in range(3):
        watch(late + timedelta(days=days))

    endpoint.refresh_from_db()
    assert endpoint.state == EndpointState.ENABLED
    assert open_alerts() == []
    assert not Breaker.objects.filter(state="open").exists()


@pytest.mark.parametrize("stop", [pause, disable])
def test_time_that_it_is_stopped_by_hand_does_not_count(stop: Any) -> None:
    endpoint = EndpointFactory()
    failing(endpoint, 55, state="open", next_probe_at=NOW)
    watch(NOW)

    assert stop(endpoint, EVA, "holidays")
    watch(NOW)

    row = Breaker.objects.get()
    assert (row.failing_since, row.warned_percent) == (None, 0)
    assert row.state == ("open" if stop is pause else "closed")
    assert open_alerts() == []
    assert len(events()) == 1


def test_breaker_stays_open_by_hand_when_its_endpoint_is_disabled() -> None:
    failing(EndpointFactory(state=EndpointState.DISABLED), 0, state="open", by_hand=True)

    watch(NOW)

    assert Breaker.objects.get().state == "open"


def test_rows_that_say_nothing_go_after_a_day_and_rows_of_deleted_endpoints_at_once() -> None:
    well, recent, ill = (EndpointFactory() for _ in range(3))
    nothing = {"failing_since": None, "consecutive": 0, "failed": 0, "window_at": None}
    failing(well, 0, **nothing, updated_at=NOW - timedelta(hours=25))
    failing(recent, 0, **nothing, updated_at=NOW - timedelta(hours=23))
    failing(ill, 10, updated_at=NOW - timedelta(hours=25))
    Breaker.objects.create(endpoint_id=2**40, tenant_id=1, failing_since=NOW)

    watch(NOW)

    assert set(Breaker.objects.values_list("pk", flat=True)) == {recent.pk, ill.pk}


def test_nobody_is_told_of_an_inactive_tenants_endpoints() -> None:
    endpoint = EndpointFactory(tenant__active=False)
    failing(endpoint, 55)

    watch(NOW)

    assert OutboxMessage.objects.count() == 0
    assert open_alerts() == []


def test_alerts_of_its_endpoints_are_resolved_when_a_tenant_becomes_inactive() -> None:
    endpoint, gone = EndpointFactory(), EndpointFactory()
    failing(endpoint, 55)
    watch(NOW)
    assert disable_gone(gone.pk, uuid4())
    assert len(open_alerts()) == 2

    Tenant.objects.update(active=False)
    watch(NOW + timedelta(minutes=1))

    assert open_alerts() == []


@pytest.mark.kafka
@pytest.mark.django_db(transaction=True)
def test_each_is_told_once_when_several_sweeps_look_at_once(topic: str) -> None:
    for percent, warned in ((55, 0), (75, 50), (120, 90)):
        failing(EndpointFactory(), percent, warned_percent=warned)
    start = threading.Barrier(3)

    def look() -> None:
        start.wait(10)
        watch(NOW)
        connection.close()

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(look) for _ in range(3)]:
            done.result(30)

    assert AuditEntry.objects.filter(action="alert.raised").count() == Alert.objects.count() == 3
    assert AuditEntry.objects.exclude(action="alert.raised").count() == 3
    assert Endpoint.objects.filter(state=EndpointState.DISABLED).count() == 1
