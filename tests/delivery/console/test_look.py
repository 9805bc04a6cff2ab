"""What the list finds: by each filter, within the reader's tenants, in the order of ids, and never by more than a look."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from delivery.console import listing, look
from delivery.console.listing import listed
from delivery.console.paging import Cursor
from delivery.console.wanted import Codes, Wanted
from delivery.models import Delivery, Dispatch
from eventcenter.search import sought
from tests.factories import DeliveryFactory, EventFactory, SubscriptionFactory

pytestmark = pytest.mark.django_db
NEWEST = Cursor()


def ids(wanted: Wanted, cursor: Cursor = NEWEST) -> list[UUID]:
    return [row.pk for row in listed(wanted, cursor).rows]


def made(age_s: float, subscription: Any = None, **values: Any) -> Delivery:
    at = timezone.now() - timedelta(seconds=age_s)
    return DeliveryFactory(subscription=subscription or SubscriptionFactory(), accepted_at=at, **values)


@pytest.fixture
def world() -> dict[str, Delivery]:
    """One of each kind, and one of each that no filter below takes."""
    event = EventFactory(type="plugin.release.withdrawn", tags=["ring-1", "production"])
    return {
        "dead": made(10, dead=True, last_status_code=503, last_error_kind="http_status"),
        "retrying": made(20, retrying=True, last_status_code=None, last_error_kind="timeout"),
        "held": made(30, held_reason="endpoint_paused"),
        "cancelled": made(40, status="cancelled", cancelled_at=timezone.now()),
        "delivered": made(50, delivered=True, last_status_code=204),
        "withdrawn": DeliveryFactory(
            event=event, subscription=SubscriptionFactory(tenant=event.tenant), delivered=True, last_status_code=201
        ),
    }


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(statuses=("dead",)), {"dead"}),
        (Wanted(statuses=("retrying",)), {"retrying"}),
        (Wanted(statuses=("pending",)), {"held"}),
        (Wanted(statuses=("cancelled",)), {"cancelled"}),
        (Wanted(statuses=("dead", "cancelled", "retrying")), {"dead", "cancelled", "retrying"}),
        (Wanted(statuses=("delivered",)), {"delivered", "withdrawn"}),
        (Wanted(codes=Codes(503, 503)), {"dead"}),
        (Wanted(codes=Codes(200, 299)), {"delivered", "withdrawn"}),
        (Wanted(codes=Codes(), statuses=("retrying", "pending")), {"retrying", "held"}),
        (Wanted(error="timeout"), {"retrying"}),
        (Wanted(type="plugin.release.withdrawn"), {"withdrawn"}),
        (Wanted(tag="ring-1"), {"withdrawn"}),
        (Wanted(tag="ring-1", statuses=("dead",)), set()),
        (Wanted(error="http_status", codes=Codes(500, 599), statuses=("dead",)), {"dead"}),
        (Wanted(tenant_ids=frozenset()), set()),
    ],
)
def test_only_what_fits_is_found(world: dict[str, Delivery], wanted: Wanted, names: set[str]) -> None:
    assert set(ids(wanted)) == {world[name].pk for name in names}


def test_tenants_subscribers_and_times_narrow_what_is_found(world: dict[str, Delivery]) -> None:
    row = world["dead"]
    own = Wanted(tenant_ids=frozenset({row.tenant_id}))
    assert ids(own) == ids(replace(own, statuses=("dead",))) == [row.pk]
    assert ids(replace(own, endpoint_id=row.endpoint_id, subscription_ids=(row.subscription_id,))) == [row.pk]
    assert ids(replace(own, subscription_ids=(row.subscription_id,))) == [row.pk]
    assert ids(replace(own, statuses=("cancelled",))) == []
    several = frozenset(item.tenant_id for item in world.values())
    assert len(ids(Wanted(tenant_ids=several))) == len(world)
    now = timezone.now()
    between = Wanted(since=now - timedelta(seconds=35), until=now - timedelta(seconds=15))
    assert ids(between) == [world["retrying"].pk, world["held"].pk]


def test_open_ones_are_found_when_they_are_on_their_way_to_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "FRESH_LOOKS", 1)
    old, newest = made(900), made(5)
    assert ids(Wanted(statuses=("pending",))) == [newest.pk]
    Dispatch.objects.create(delivery_ids=[old.pk, newest.pk], lease_until=timezone.now())
    assert ids(Wanted(statuses=("pending",))) == [newest.pk, old.pk]
    monkeypatch.setattr(look, "WAITING_MOST", 1)
    assert look.outstanding() is None
    assert ids(Wanted(statuses=("pending",))) == [newest.pk, old.pk]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "WALK_LOOKS", 4)
    monkeypatch.setattr(look, "SPARSE_LOOKS", 4)


@pytest.mark.usefixtures("short")
def test_look_says_how_far_it_came_when_it_ends_before_the_page_is_full() -> None:
    rows = [made(10 * place, delivered=True, last_status_code=200) for place in range(1, 7)]
    rare = made(100, delivered=True, last_status_code=202)
    page = listed(Wanted(codes=Codes(202, 202)), NEWEST)
    assert (page.rows, page.further, page.looked, page.count, page.at_least) == ([], rows[3].pk, 4, 0, True)
    rest = listed(Wanted(codes=Codes(202, 202)), Cursor(before=page.further))
    assert [row.pk for row in rest.rows] == [rare.pk]
    assert rest.further is None
    back = listed(Wanted(codes=Codes(202, 202)), Cursor(after=rare.pk))
    assert (back.rows, back.newer) == ([], rows[2].pk)


@pytest.mark.parametrize("rows", [3, 60])
def test_page_costs_two_queries_and_a_look_when_there_are_few_and_when_there_are_many(rows: int) -> None:
    subscription = SubscriptionFactory()
    for place in range(rows):
        made(place + 1, subscription)
    with CaptureQueriesContext(connection) as asked:
        listed(Wanted(), NEWEST)
    assert len(asked) == 2  # rows, their events; the look goes around Django's log


@pytest.mark.parametrize("by", ["event", "delivery", "plugin", "version", "release", "trace"])
def test_search_finds_the_deliveries_of_what_is_meant(by: str) -> None:
    event = EventFactory(subject="acme-crm", version="4.2.0", trace=uuid4())
    wanted = DeliveryFactory(event=event, subscription=SubscriptionFactory(tenant=event.tenant), dead=True)
    made(5)
    words = {
        "event": str(event.pk),
        "delivery": str(wanted.pk),
        "plugin": "acme-crm",
        "version": "4.2.0",
        "release": "acme-crm@4.2.0",
        "trace": event.trace.hex,
    }
    assert ids(Wanted(sought=sought(words[by]))) == [wanted.pk]
    assert ids(Wanted(sought=sought(words[by]), statuses=("delivered",))) == []
    assert ids(Wanted(sought=sought(words[by]), tenant_ids=frozenset({event.tenant_id + 1}))) == []


def test_search_goes_on_where_a_look_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "EVENTS_MOST", 2)
    subscription = SubscriptionFactory()
    rows = []
    for age_s in range(1, 6):
        at = timezone.now() - timedelta(seconds=age_s)
        event = EventFactory(tenant=subscription.tenant, subject="acme-crm", accepted_at=at)
        rows.append(DeliveryFactory(event=event, subscription=subscription).pk)
    seen: list[UUID] = []
    cursor: Cursor | None = NEWEST
    while cursor is not None:
        page = listed(Wanted(sought=sought("acme-crm")), cursor)
        seen += [row.pk for row in page.rows]
        cursor = Cursor(before=page.further) if page.further else None
        assert len(seen) <= len(rows)
    assert seen == rows


def test_delivery_is_listed_when_its_event_is_past_its_retention() -> None:
    row = made(5, dead=True)
    row.event.delete()
    assert ids(Wanted()) == [row.pk]
