"""The events' pages: what is listed, how far back is looked, and why each subscription got an event or did not."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.trail import Actor, record
from delivery.console import event_plan, window
from eventcenter.access.roles import Role
from eventcenter.models import Event, EventType
from subscriptions.models import Subscription, Tenant
from tests.factories import (
    TRACE_ID,
    DeliveryFactory,
    EventFactory,
    SubscriptionFactory,
    TenantFactory,
    UserFactory,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("event_types")]
URL = "/console/events"
LIVE = {"HX-Request": "true", "HX-Target": "live"}
# session, user, roles; due keys, alerts; tenants, types; count, rows, how their deliveries stand
PAGE_QUERIES = 9
WINDOW_QUERIES = 1
DETAIL_QUERIES = 12


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory())
    return client


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


def shown(response: Any) -> list[str]:
    return re.findall(r'data-row="([0-9a-f-]+)"', response.content.decode())


def page(client: Client, event: Event) -> str:
    answer = client.get(reverse("event", args=[event.pk]))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def an_hour_ago() -> datetime:
    return timezone.now() - timedelta(hours=1)


def test_list_is_newest_first_with_how_the_deliveries_stand(ops: Client) -> None:
    old = EventFactory(accepted_at=an_hour_ago())
    delivery = DeliveryFactory(dead=True, event__version="9.8.7")
    DeliveryFactory(delivered=True, event=delivery.event, subscription__endpoint__tenant=delivery.tenant)
    answer = ops.get(URL)
    assert shown(answer) == [str(delivery.event_id), str(old.pk)]
    text = " ".join(answer.content.decode().split())
    assert "1 dead" in text
    assert "1 delivered" in text
    assert "9.8.7" in text
    assert "no subscription took it" in text


def test_queries_do_not_grow_with_the_rows(ops: Client, django_assert_num_queries: Any) -> None:
    for _ in range(3):
        DeliveryFactory()
    with django_assert_num_queries(PAGE_QUERIES):
        ops.get(URL)
    with django_assert_num_queries(PAGE_QUERIES + WINDOW_QUERIES):
        assert len(shown(ops.get(f"{URL}?type=plugin.release.published"))) == 3


@pytest.mark.parametrize(
    "query",
    ["type=plugin.release.withdrawn", "tag=eu", "source=/other", "plugin=ledger", "q=ledger", "tenant=acme"],
)
def test_one_is_found_by_each_filter(ops: Client, acme: Tenant, query: str) -> None:
    EventFactory()
    EventFactory(tags=[])
    wanted = EventFactory(
        tenant=acme, type="plugin.release.withdrawn", tags=["a", "eu"], source="/other", subject="ledger"
    )
    answer = ops.get(f"{URL}?{query}")
    assert shown(answer) == [str(wanted.pk)]
    assert 'class="pill"' in answer.content.decode()


def test_span_of_time_bounds_the_list(ops: Client) -> None:
    old, new = EventFactory(accepted_at=an_hour_ago()), EventFactory()
    middle = f"{timezone.now() - timedelta(minutes=30):%Y-%m-%dT%H:%M}"
    assert shown(ops.get(f"{URL}?since={middle}")) == [str(new.pk)]
    assert shown(ops.get(f"{URL}?until={middle}")) == [str(old.pk)]


@pytest.mark.parametrize("query", ["since=soon", "q=%00", "type=%00", "before=x", f"plugin={'x' * 400}", "tenant=%00"])
def test_wrong_value_is_left_out(ops: Client, query: str) -> None:
    event = EventFactory()
    assert shown(ops.get(f"{URL}?{query}")) == [str(event.pk)]


def test_window_says_how_far_it_looked_and_leads_on(ops: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = EventFactory(accepted_at=an_hour_ago(), type="plugin.release.withdrawn")
    newer = [EventFactory() for _ in range(3)]
    monkeypatch.setattr(window.newest, "__defaults__", (3,))
    first = ops.get(f"{URL}?type=plugin.release.withdrawn")
    assert shown(first) == []
    assert "Looked through 3 events" in first.content.decode()
    (further,) = re.findall(r'rel="next" href="([^"]+)"', first.content.decode())
    assert f"before={newer[0].pk}" in further
    second = ops.get(further.replace("&amp;", "&"))
    assert shown(second) == [str(wanted.pk)]
    assert "Looked through" not in second.content.decode()


def test_older_pages_are_reached_by_key(ops: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [EventFactory(accepted_at=timezone.now() - timedelta(seconds=10 * place)) for place in range(51)]
    (older,) = re.findall(r'rel="next" href="([^"]+)"', ops.get(URL).content.decode())
    assert shown(ops.get(older)) == [str(events[50].pk)]


def test_live_part_alone_is_answered_to_a_poll(ops: Client) -> None:
    answer = ops.get(URL, headers=LIVE).content.decode()
    assert answer.lstrip().startswith('<div id="live"')
    assert "No events yet" in answer


def test_viewer_sees_ones_own_tenants_events_alone(client: Client, acme: Tenant) -> None:
    own, other = EventFactory(tenant=acme), EventFactory(tenant__slug="rival", subject="secret-plugin")
    client.force_login(UserFactory(roles=((acme, Role.VIEWER),)))
    answer = client.get(URL)
    assert shown(answer) == [str(own.pk)]
    assert "rival" not in answer.content.decode()
    assert shown(client.get(f"{URL}?q={other.pk}")) == []
    assert shown(client.get(f"{URL}?tenant=rival")) == [str(own.pk)]
    for name in ("event", "event-body"):
        assert client.get(reverse(name, args=[other.pk])).status_code == 404
    assert "replay-new" not in page(client, own)
    assert "Replay this event" not in page(client, own)


def test_event_shows_its_data_ids_schema_and_places(ops: Client, django_assert_num_queries: Any) -> None:
    event = DeliveryFactory(event__kafka_partition=3, event__kafka_offset=77).event
    with django_assert_num_queries(DETAIL_QUERIES):
        text = page(ops, event)
    for words in (TRACE_ID, event.idempotency_key, "partition 3, offset 77", event.producer_id, "sha256:9f9f"):
        assert words in text
    assert "plugin.release.published v1" in text
    assert f"replay-new?event={event.pk}" in text or f"replays/new?event={event.pk}" in text
    assert "datacontenttype" in text
    body = ops.get(reverse("event-body", args=[event.pk]))
    assert body.content == bytes(event.body)
    assert "attachment" in body["Content-Disposition"]


def test_schema_says_so_when_it_is_younger_than_the_event(ops: Client) -> None:
    old = EventFactory(accepted_at=an_hour_ago())
    assert "may have been judged by another text" in page(ops, old)
    EventType.objects.update(updated_at=timezone.now() - timedelta(days=2))
    assert "may have been judged" not in page(ops, old)


def test_data_is_cut_with_a_way_to_all_of_it_when_it_is_large(ops: Client) -> None:
    event = EventFactory()
    large = json.loads(event.body) | {"data": {"notes": "x" * 500_000}}
    Event.objects.filter(pk=event.pk).update(body=json.dumps(large).encode())
    text = page(ops, event)
    assert len(text) < 120_000
    assert "Cut here." in text
    assert shown(ops.get(URL)) == [str(event.pk)]


def plan(event: Event) -> dict[str, str]:
    """Subscription → why it did not get the event."""
    return {
        item.subscription.slug: f"{item.why} {item.failed} {item.asks}".strip()
        for item in event_plan.plan_of(event).unplanned
    }


@pytest.fixture
def old(acme: Tenant) -> Event:
    return EventFactory(tenant=acme, accepted_at=an_hour_ago(), tags=["stable"], subject="payments")


def rule(acme: Tenant, slug: str, **values: Any) -> Subscription:
    """A subscription that was there before the event."""
    made: Subscription = SubscriptionFactory(endpoint__tenant=acme, slug=slug, **values)
    Subscription.everything.filter(pk=made.pk).update(created_at=timezone.now() - timedelta(days=1))
    return made


def test_plan_says_why_each_did_not_get_it(acme: Tenant, old: Event) -> None:
    rule(acme, "types", types=["plugin.release.withdrawn"])
    rule(acme, "tags", tags=["eu", "us"])
    rule(acme, "filters", filters=[{"prefix": {"subject": "pay"}}, {"exact": {"subject": "other"}}])
    rule(acme, "inactive", active=False)
    SubscriptionFactory(endpoint__tenant=acme, slug="later")
    rule(acme, "odd")
    changed = rule(acme, "changed")
    record("acme", Actor("user:eva"), "subscription.changed", f"subscription:{changed.pk}")
    gone = rule(acme, "gone")
    Subscription.everything.filter(pk=gone.pk).update(archived_at=timezone.now())
    before = rule(acme, "gone-before")
    Subscription.everything.filter(pk=before.pk).update(archived_at=old.ingested_at - timedelta(minutes=1))
    SubscriptionFactory(slug="another-tenants")
    assert plan(old) == {
        "types": "does not take it types plugin.release.withdrawn",
        "tags": "does not take it tags any of eu, us",
        "filters": 'does not take it filters[1] {"exact": {"subject": "other"}}',
        "inactive": "inactive",
        "later": "made later than the event",
        "odd": "takes it, yet has no delivery; nothing is known to have changed since",
        "changed": "would take it today; its rule, or whether it is active, was changed since",
        "gone": "would take it by its last rule, and is deleted now",
    }


def test_plan_says_of_a_delivery_that_its_rule_changed(ops: Client, acme: Tenant, old: Event) -> None:
    taken = rule(acme, "taken", tags=["eu"])
    DeliveryFactory(event=old, subscription=taken)
    text = page(ops, old)
    assert "by its rule of today it would not: tags" in text
    assert "1 of 1 subscription took it" in text


def test_plan_is_bounded_when_a_tenant_has_hundreds(
    ops: Client, acme: Tenant, old: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_plan, "SUBSCRIPTIONS_MOST", 2)
    for place in range(3):
        rule(acme, f"r-{place}", tags=["eu"])
    assert event_plan.plan_of(old).more
    assert "has more subscriptions" in page(ops, old)
