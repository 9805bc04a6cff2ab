from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from eventcenter.access.roles import Role
from eventcenter.log_pages.paging import CappedPaginator
from tests.factories import (
    AttemptFactory,
    DeliveryFactory,
    EventFactory,
    RejectedEventFactory,
    SubscriptionFactory,
    SuperuserFactory,
    TenantFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db
EVENTS = reverse("admin:eventcenter_event_changelist")
DELIVERIES = reverse("admin:delivery_delivery_changelist")


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(SuperuserFactory(username="root"))
    return client


def listed(client: Client, address: str, **query: Any) -> list[Any]:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return [row.pk for row in answer.context["cl"].result_list]


def test_pages_end_at_the_cap_and_go_on_by_id_when_there_is_more(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CappedPaginator, "most", 60)
    tenant = TenantFactory()
    at = timezone.now()
    made = [EventFactory(tenant=tenant, accepted_at=at + timedelta(milliseconds=number)).pk for number in range(70)]
    newest = made[::-1]
    assert listed(root, EVENTS) == newest[:50]
    assert listed(root, EVENTS, p=2) == newest[50:60]
    page = root.get(EVENTS, {"p": 2})
    assert "There are more than 60" in page.content.decode()
    query = page.context["cl"].older_query
    assert query == f"id__lt={newest[59]}"
    older = root.get(f"{EVENTS}?{query}")
    assert [row.pk for row in older.context["cl"].result_list] == newest[60:]
    assert "Back to the newest" in older.content.decode()
    assert "There are more" not in older.content.decode()


def test_older_rows_keep_the_filter(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CappedPaginator, "most", 1)
    tenant = TenantFactory(slug="acme")
    for _ in range(3):
        EventFactory(tenant=tenant)
    EventFactory()
    answer = root.get(EVENTS, {"tenant": "acme", "within": "1h"})
    assert "tenant=acme" in answer.context["cl"].older_query
    assert "within=1h" in answer.context["cl"].older_query


def test_nothing_is_counted_to_the_end_and_no_list_reads_bodies(root: Client) -> None:
    DeliveryFactory.create_batch(2)
    for address in (EVENTS, DELIVERIES):
        with CaptureQueriesContext(connection) as queries:
            root.get(address)
        asked = [each["sql"] for each in queries if "_event" in each["sql"] or "_delivery" in each["sql"]]
        assert any("COUNT" in sql for sql in asked)
        for sql in asked:
            assert "LIMIT" in sql or "COUNT" not in sql  # a page that holds all that was counted has no limit
            assert '"body"' not in sql
            assert "OFFSET" not in sql


def test_delivery_is_found_by_its_own_id_and_by_its_events(root: Client) -> None:
    event = EventFactory()
    both = [
        DeliveryFactory(event=event, subscription=SubscriptionFactory(endpoint__tenant=event.tenant)) for _ in range(2)
    ]
    DeliveryFactory()
    assert listed(root, DELIVERIES, q=str(both[0].pk)) == [both[0].pk]
    assert sorted(listed(root, DELIVERIES, q=f" {event.pk} ")) == sorted(row.pk for row in both)
    assert listed(root, DELIVERIES, q="payments") == []
    assert "takes a whole id" in root.get(DELIVERIES, {"q": "payments"}).content.decode()


def test_filters_of_deliveries_find_the_dead_and_the_waiting(root: Client) -> None:
    dead, waiting, old = (
        DeliveryFactory(dead=True),
        DeliveryFactory(retrying=True),
        DeliveryFactory(delivered=True, accepted_at=timezone.now() - timedelta(hours=2)),
    )
    assert listed(root, DELIVERIES, state="dead") == [dead.pk]
    assert listed(root, DELIVERIES, state="waiting") == [waiting.pk]
    assert old.pk not in listed(root, DELIVERIES, within="1h")
    assert listed(root, DELIVERIES, tenant=old.tenant.slug) == [old.pk]
    assert listed(root, DELIVERIES, tenant="nobody") == []
    assert listed(root, DELIVERIES, tenant="\0") == []


def test_page_of_an_event_shows_its_body_indented(root: Client) -> None:
    event = EventFactory()
    page = root.get(reverse("admin:eventcenter_event_change", args=[event.pk])).content.decode()
    assert "&quot;plugin_id&quot;: &quot;" in page
    assert json.loads(bytes(event.body))["subject"] in page
    assert f"{DELIVERIES}?q={event.pk}" in page


def test_page_of_a_delivery_shows_its_attempts_with_answers(root: Client) -> None:
    delivery = DeliveryFactory(dead=True)
    AttemptFactory(delivery=delivery, refused=True, response_body=b'{"error": "<b>no</b>"}')
    page = root.get(reverse("admin:delivery_delivery_change", args=[delivery.pk])).content.decode()
    assert "503: answered 503 Service Unavailable" in page
    assert "server: nginx" in page
    assert "&quot;error&quot;: &quot;&lt;b&gt;no&lt;/b&gt;&quot;" in page
    assert reverse("delivery", args=[delivery.pk]) in page


def test_logs_hold_the_tenants_own_rows_when_an_operator_looks(client: Client) -> None:
    own, other = DeliveryFactory(), DeliveryFactory()
    rejected = RejectedEventFactory(tenant_slug=own.tenant.slug)
    RejectedEventFactory(tenant_slug=other.tenant.slug)
    client.force_login(UserFactory(roles=((own.tenant, Role.OPERATOR),)))
    assert listed(client, DELIVERIES) == [own.pk]
    assert listed(client, EVENTS) == [own.event_id]
    assert listed(client, DELIVERIES, q=str(other.pk)) == []
    assert listed(client, DELIVERIES, tenant=other.tenant.slug) == []
    assert listed(client, reverse("admin:eventcenter_rejectedevent_changelist")) == [rejected.pk]
    assert client.get(reverse("admin:delivery_delivery_change", args=[other.pk])).status_code == 302
