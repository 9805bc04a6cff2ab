from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from audit.models import AuditEntry
from eventcenter.access.roles import Role
from eventcenter.ids import derived_id
from subscriptions.models import Tenant
from tests.api_caller import Caller, fields, signed_in, with_key
from tests.eventcenter.sender import new_sender
from tests.factories import (
    AttemptFactory,
    DeliveryFactory,
    EndpointFactory,
    EventFactory,
    SubscriptionFactory,
    TenantFactory,
)
from tests.fakes.receiver import Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


@pytest.fixture
def viewer(acme: Tenant) -> Caller:
    return signed_in((acme, Role.VIEWER))


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["items"]]


def test_delivery_is_shown_with_its_attempts_and_no_header_of_the_answer(viewer: Caller, acme: Tenant) -> None:
    delivery = DeliveryFactory(subscription__endpoint__tenant=acme, dead=True)
    AttemptFactory(delivery=delivery, refused=True, response_headers=[["set-cookie", "s3cret"]])
    shown = viewer.get(f"deliveries/{delivery.pk}").json()
    assert (shown["status"], shown["last_status_code"], shown["dead_reason"]) == ("dead", 503, "spent")
    assert shown["event"]["type"] == "plugin.release.published"
    attempts = viewer.get(f"deliveries/{delivery.pk}/attempts")
    assert [item["status_code"] for item in attempts.json()["items"]] == [503]
    assert "s3cret" not in attempts.content.decode()


def test_deliveries_are_filtered(viewer: Caller, acme: Tenant) -> None:
    rule = SubscriptionFactory(endpoint__tenant=acme)
    other = SubscriptionFactory(endpoint__tenant=acme)
    old = DeliveryFactory(subscription=rule, delivered=True, accepted_at=timezone.now() - timedelta(hours=2))
    dead = DeliveryFactory(subscription=rule, dead=True)
    event = EventFactory(tenant=acme, type="plugin.removed")
    twins = [
        DeliveryFactory(subscription=each, event=event, id=derived_id(event.pk, each.pk)) for each in (rule, other)
    ]
    DeliveryFactory()
    everything = {str(row.pk) for row in (old, dead, *twins)}
    hour_ago = (timezone.now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert set(ids(viewer.get("deliveries"))) == everything
    assert ids(viewer.get("deliveries?status=dead")) == [str(dead.pk)]
    assert set(ids(viewer.get("deliveries?status=dead&status=delivered"))) == {str(dead.pk), str(old.pk)}
    assert set(ids(viewer.get(f"deliveries?event={event.pk}"))) == {str(row.pk) for row in twins}
    assert set(ids(viewer.get("deliveries?type=plugin.removed"))) == {str(row.pk) for row in twins}
    assert ids(viewer.get(f"deliveries?until={hour_ago}")) == [str(old.pk)]
    assert str(old.pk) not in ids(viewer.get(f"deliveries?tenant=acme&since={hour_ago}"))
    assert ids(viewer.get(f"deliveries?subscription={other.pk}")) == [str(twins[1].pk)]
    assert ids(viewer.get(f"deliveries?endpoint={other.endpoint_id}")) == [str(twins[1].pk)]


def test_pages_have_every_delivery_once_at_a_few_queries(
    viewer: Caller, acme: Tenant, django_assert_max_num_queries: Any
) -> None:
    rows = DeliveryFactory.create_batch(5, subscription=SubscriptionFactory(endpoint__tenant=acme))
    with django_assert_max_num_queries(4):  # session, user, roles; the rows
        page = viewer.get("deliveries?limit=2")
    seen = ids(page)
    while page.json()["next"]:
        page = viewer.get(page.json()["next"])
        seen += ids(page)
    assert seen == [str(row.pk) for row in sorted(rows, key=lambda row: row.pk, reverse=True)]


@pytest.mark.parametrize(
    ("query", "field"),
    [("status=lost", "status"), ("since=yesterday", "since"), ("event=1", "event"), ("subscriber=1", "subscriber")],
)
def test_wrong_filter_is_named(viewer: Caller, query: str, field: str) -> None:
    assert [name.partition(".")[0] for name in fields(viewer.get(f"deliveries?{query}"), 400)] == [field]


def test_another_tenants_are_not_found(viewer: Caller) -> None:
    foreign = DeliveryFactory()
    paths = [
        f"deliveries/{foreign.pk}",
        f"deliveries/{foreign.pk}/attempts",
        f"events/{foreign.event_id}",
        f"deliveries?tenant={foreign.tenant.slug}",
        f"deliveries?endpoint={foreign.endpoint_id}",
        f"deliveries?subscription={foreign.subscription_id}",
        f"deliveries?event={foreign.event_id}",
        f"events?tenant={foreign.tenant.slug}",
        f"rejected-events?tenant={foreign.tenant.slug}",
    ]
    answers = [viewer.get(path) for path in paths]
    assert [answer.status_code for answer in answers] == [404] * len(paths)
    assert not any(foreign.tenant.slug in answer.content.decode() for answer in answers)


def test_publish_key_reads_no_deliveries(acme: Tenant) -> None:
    sender = new_sender("acme")
    row = DeliveryFactory(subscription__endpoint__tenant=acme)
    for path, status in (("deliveries", 403), (f"deliveries/{row.pk}", 404), (f"events/{row.event_id}", 404)):
        response = sender.client.get(f"/internal/events/{path}", headers=sender.sign(b""))
        assert response.status_code == status, path


# --- Test-send ---


def test_sample_is_sent_and_its_answer_told(acme: Tenant, event_types: Any, receiver: Receiver) -> None:
    endpoint = EndpointFactory(tenant=acme, url=receiver.url("/hook"))
    operator = signed_in((acme, Role.OPERATOR))
    sent = operator.post(f"endpoints/{endpoint.pk}/test-send", {}).json()
    assert (sent["delivered"], sent["status_code"]) == (True, 204)
    subscription = SubscriptionFactory(endpoint=endpoint)
    assert operator.post(f"subscriptions/{subscription.pk}/test-send", {}).json()["delivered"] is True
    assert AuditEntry.objects.filter(action="endpoint.test_sent").count() == 2
    unknown = operator.post(f"endpoints/{endpoint.pk}/test-send", {"type": "no.such"})
    assert list(fields(unknown, 409)) == ["type"]
    assert signed_in((acme, Role.VIEWER)).post(f"endpoints/{endpoint.pk}/test-send", {}).status_code == 403


def test_second_sample_waits_for_the_first(acme: Tenant, event_types: Any) -> None:
    endpoint = EndpointFactory(tenant=acme)
    with psycopg.connect(**connection.get_connection_params() | {"autocommit": True}) as elsewhere:
        elsewhere.execute("SELECT pg_advisory_lock(hashtext('delivery.test_send'), %s)", [endpoint.pk])
        busy = with_key(acme).post(f"endpoints/{endpoint.pk}/test-send", {})
    assert (busy.status_code, busy["Retry-After"]) == (429, "5")
    assert not AuditEntry.objects.filter(action="endpoint.test_sent").exists()
