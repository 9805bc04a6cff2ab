"""One cause calls once: incidents, what they are of, who is called, and what happens when two come at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection, transaction

from audit.models import AuditEntry
from audit.trail import Actor
from delivery.alerting.incidents import acknowledge, cause_of, joined, left
from delivery.models import Alert, Incident, Page
from eventcenter import row_security
from subscriptions.models import Tenant
from tests.delivery.alerting.calls import NOW, calls, make_alert, make_contact, resolve
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db
OPS = Actor("user:eva")


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


@pytest.mark.parametrize(
    ("about", "cause"),
    [
        ({"kind": "failure_rate", "tenant_id": 7, "endpoint_id": 42}, "endpoint:42"),
        ({"kind": "endpoint.disabled", "tenant_id": 7, "endpoint_id": 42}, "endpoint:42"),
        ({"kind": "breaker_open", "tenant_id": 7, "endpoint_id": 42}, "endpoint:42"),
        ({"kind": "tenant_failure_rate", "tenant_id": 7}, "tenant:7"),
        ({"kind": "consumer_lag"}, "platform:consumer"),
        ({"kind": "process_missing", "details": {"role": "consumer"}}, "platform:consumer"),
        ({"kind": "process_missing", "dedup_key": "process_missing:consumer"}, "platform:consumer"),
        ({"kind": "outbox_stuck"}, "platform:relay"),
        ({"kind": "process_missing", "details": {"role": "relay"}}, "platform:relay"),
        ({"kind": "oldest_due"}, "platform:workers"),
        ({"kind": "process_missing", "details": {"role": "sweep"}}, "platform:workers"),
        ({"kind": "process_missing", "details": {"role": "replays"}}, "platform:replays"),
        ({"kind": "signing_key.rotation_due", "tenant_id": 7, "endpoint_id": 42, "dedup_key": "k:1"}, "k:1"),
        ({"kind": "publish_signature", "tenant_id": 7, "dedup_key": "publish:7"}, "publish:7"),
        ({"kind": "audit.broken", "tenant_id": 7, "dedup_key": "audit:acme"}, "audit:acme"),
        ({"kind": "a.kind.of.later"}, "platform:a.kind.of.later"),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_cause_is_what_the_alert_follows_from(about: dict[str, object], cause: str) -> None:
    assert cause_of(Alert(**{"dedup_key": "key", **about})) == cause


def test_second_alert_joins_and_calls_nobody_again_when_the_cause_is_the_same(acme: Tenant) -> None:
    make_contact(), make_contact("Plugin team", tenant=acme), make_contact("Others", tenant=TenantFactory())
    first, second = (make_alert(kind, tenant_id=acme.pk, endpoint_id=42) for kind in ("failure_rate", "latency"))

    opened = joined(first, NOW)
    assert joined(second, NOW) == opened

    assert calls() == [("Ops on call", "trigger"), ("Plugin team", "trigger")]
    assert (opened.cause, opened.summary, opened.severity) == ("endpoint:42", first.summary, "critical")
    assert list(Alert.objects.values_list("incident_id", flat=True)) == [opened.pk] * 2
    page = Page.objects.earliest("pk")
    assert (page.tenant_id, page.next_at, page.sent_at) == (acme.pk, NOW, None)


def test_alert_of_the_platform_calls_the_platform_only(acme: Tenant) -> None:
    make_contact(), make_contact("Plugin team", tenant=acme)
    joined(make_alert("consumer_lag"), NOW)
    assert calls() == [("Ops on call", "trigger")]


def test_contact_is_called_anew_when_its_call_was_refused(acme: Tenant) -> None:
    """Nor is it told of the end of what it was not told of."""
    make_contact()
    alerts = [make_alert(kind, tenant_id=acme.pk, endpoint_id=42) for kind in ("failure_rate", "latency")]
    joined(alerts[0], NOW)
    Page.objects.update(next_at=None, error="refused")
    joined(alerts[1], NOW)
    assert calls() == [("Ops on call", "trigger")] * 2
    assert Page.objects.latest("pk").body["again"] is False
    Page.objects.update(next_at=None, error="refused")
    for alert in alerts:
        left(resolve(alert), NOW)
    assert calls() == [("Ops on call", "trigger")] * 2


def test_higher_severity_calls_all_who_were_called_at_a_lower_one_or_not_at_all(acme: Tenant) -> None:
    make_contact("Mornings", least_severity="warning"), make_contact("Nights", least_severity="critical")
    make_contact("Never", least_severity="info", enabled=False)
    alert = make_alert(severity="warning", tenant_id=acme.pk, endpoint_id=42)
    joined(alert, NOW)
    assert calls() == [("Mornings", "trigger")]

    alert.severity = "critical"
    alert.save()
    assert joined(alert, NOW).severity == "critical"
    joined(alert, NOW)
    assert calls() == [("Mornings", "trigger"), ("Mornings", "trigger"), ("Nights", "trigger")]
    said = Page.objects.filter(contact__name="Mornings").order_by("pk").values_list("body__severity", "body__again")
    assert list(said) == [("warning", False), ("critical", True)]

    joined(make_alert("latency", "warning", tenant_id=acme.pk, endpoint_id=42), NOW)
    assert len(calls()) == 3


def test_muted_alert_calls_nobody_until_it_is_unmuted_or_another_joins(acme: Tenant) -> None:
    make_contact()
    alert = make_alert(muted=True, tenant_id=acme.pk, endpoint_id=42)
    incident = joined(alert, NOW)
    assert calls() == []

    alert.muted = False
    alert.save()
    assert joined(alert, NOW) == incident
    assert calls() == [("Ops on call", "trigger")]

    other = make_alert(muted=True, tenant_id=acme.pk, endpoint_id=43)
    joined(other, NOW)
    joined(make_alert("latency", tenant_id=acme.pk, endpoint_id=43), NOW)
    assert calls() == [("Ops on call", "trigger")] * 2


def test_incident_ends_once_when_its_last_alert_is_resolved(acme: Tenant) -> None:
    contact = make_contact()
    alerts = [make_alert(kind, tenant_id=acme.pk, endpoint_id=42) for kind in ("failure_rate", "latency")]
    [incident, _] = [joined(alert, NOW) for alert in alerts]
    later = NOW + timedelta(minutes=9)
    contact.enabled = False  # who was called is told
    contact.save()

    left(resolve(alerts[1], later), later)
    assert calls() == [("Ops on call", "trigger")]
    left(resolve(alerts[0], later), later)
    left(alerts[0], later)

    incident.refresh_from_db()
    assert incident.resolved_at == later
    assert calls() == [("Ops on call", "trigger"), ("Ops on call", "resolve")]
    assert joined(make_alert(tenant_id=acme.pk, endpoint_id=42), later) != incident


def test_nobody_is_told_of_the_end_when_nobody_was_called(acme: Tenant) -> None:
    alert = make_alert(tenant_id=acme.pk, endpoint_id=42)
    joined(alert, NOW)
    make_contact()
    left(resolve(alert), NOW)
    assert calls() == []
    left(resolve(make_alert()), NOW)  # of the time before incidents
    assert Incident.objects.count() == 1


def test_acknowledge_tells_everybody_once_and_is_in_the_trail(acme: Tenant) -> None:
    make_contact(), make_contact("Quiet", enabled=False)
    alert = make_alert(tenant_id=acme.pk, endpoint_id=42)
    incident = joined(alert, NOW)

    assert acknowledge(incident.pk, OPS, NOW) is True
    assert acknowledge(incident.pk, Actor("user:ann"), NOW) is False

    incident.refresh_from_db()
    assert (incident.acknowledged_by, incident.acknowledged_at) == ("user:eva", NOW)
    assert calls() == [("Ops on call", "trigger"), ("Ops on call", "acknowledge")]
    entry = AuditEntry.objects.get(action="incident.acknowledged")
    assert (entry.chain, entry.actor, entry.target) == ("acme", "user:eva", f"incident:{incident.pk}")

    left(resolve(alert), NOW)
    other = joined(make_alert("consumer_lag"), NOW)
    left(resolve(other.alerts.get()), NOW)
    assert acknowledge(other.pk, OPS, NOW) is False
    assert AuditEntry.objects.filter(action="incident.acknowledged").count() == 1


def test_platform_s_people_are_called_when_a_tenant_s_request_makes_the_alert(acme: Tenant) -> None:
    make_contact()
    alert = make_alert(tenant_id=acme.pk, endpoint_id=42)
    with row_security.scoped({acme.pk}):
        joined(alert, NOW)
    assert calls() == [("Ops on call", "trigger")]


def test_everything_goes_with_the_alert_when_its_transaction_fails(acme: Tenant) -> None:
    make_contact()
    with transaction.atomic():
        joined(make_alert(tenant_id=acme.pk, endpoint_id=42), NOW)
        transaction.set_rollback(True)
    assert (Incident.objects.count(), Page.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rounds", [5])
def test_two_alerts_at_once_make_one_incident_and_one_page(rounds: int) -> None:
    acme = TenantFactory()
    make_contact()
    for endpoint_id in range(rounds):
        alerts = [make_alert(kind, tenant_id=acme.pk, endpoint_id=endpoint_id) for kind in ("failure_rate", "latency")]
        at_once([lambda alert=alert: joined(alert, NOW) for alert in alerts])
    assert (Incident.objects.count(), Page.objects.count()) == (rounds, rounds)


@pytest.mark.django_db(transaction=True)
def test_alert_that_comes_while_the_last_one_goes_is_in_an_open_incident() -> None:
    acme = TenantFactory()
    make_contact()
    for endpoint_id in range(5):
        going, coming = (
            make_alert(kind, tenant_id=acme.pk, endpoint_id=endpoint_id) for kind in ("failure_rate", "latency")
        )
        joined(going, NOW)
        at_once([lambda going=going: left(resolve(going), NOW), lambda coming=coming: joined(coming, NOW)])
        coming.refresh_from_db()
        assert coming.incident is not None
        assert coming.incident.resolved_at is None
    open_ones = Incident.objects.filter(resolved_at=None)
    assert open_ones.count() == 5
    assert Page.objects.filter(incident__in=open_ones, action="trigger").count() == 5


def at_once(changes: list[object]) -> None:
    """Each in a thread and a transaction of its own, begun together."""
    barrier = Barrier(len(changes))

    def run(change: object) -> None:
        try:
            with transaction.atomic():
                barrier.wait(5)
                change()  # type: ignore[operator]
        finally:
            connection.close()

    with ThreadPoolExecutor(len(changes)) as threads:
        for done in [threads.submit(run, change) for change in changes]:
            done.result(10)
