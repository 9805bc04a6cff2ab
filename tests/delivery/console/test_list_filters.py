"""The list's filters in the URL, what it says about wrong ones, and what a poll costs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from delivery.console import deliveries, filters
from delivery.models import Delivery
from tests.delivery.console.test_list import LIVE, UNCHANGED_QUERIES, URL, ids, made, shown
from tests.factories import EndpointFactory, SubscriptionFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory())
    return client


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("tenant=nobody", "There is no tenant nobody"),
        ("subscriber=endpoint-999999", "There is no such subscriber"),
        ("subscriber=endpoint-99999999999999999999", "There is no such subscriber"),
        ("status=odd", "not one of the available choices"),
        ("code=abc", "takes a code such as 503"),
        ("code=999", "takes a code such as 503"),
        ("error=odd", "not one of the available choices"),
        ("since=yesterday", "Takes a time in UTC"),
        ("since=0001-01-01T00:00%2B14:00", "Takes a time after 1970"),
        ("since=2026-13-45T00:00", "Takes a time in UTC"),
        ("since=2026-05-02T00:00&until=2026-05-01T00:00", "Takes a time after the first one"),
        ("q=%00", "Null characters are not allowed"),
        ("q=" + "x" * 400, "at most 300 characters"),
        ("type=%00", "Null characters are not allowed"),
    ],
)
def test_wrong_filter_says_what_it_takes_and_shows_nothing(ops: Client, query: str, says: str) -> None:
    made(1)
    response = ops.get(f"{URL}?{query}")
    assert response.status_code == 200
    text = response.content.decode()
    assert says in text
    assert "Nothing is shown" in text
    assert shown(response) == []
    assert "data-poll" not in text


def test_each_filter_is_a_pill_in_its_own_words(ops: Client) -> None:
    row = made(1, dead=True)[0]
    query = {
        "q": row.event.subject,
        "subscriber": f"endpoint-{row.endpoint_id}",
        "since": "2026-01-01T00:00",
        "type": row.event.type,
        "tag": "stable",
        "code": "5xx",
        "error": "http_status",
    }
    response = ops.get(URL, query)
    found = re.findall(r'aria-label="Remove filter ([^"]+)"', response.content.decode())
    assert found == [
        f"Search {row.event.subject}",
        f"Subscriber {row.tenant.slug} / {row.endpoint.slug}",
        "From 2026-01-01 00:00:00",
        f"Event type {row.event.type}",
        "Tag stable",
        "Response code 5xx",
        "Error refused",
    ]
    assert shown(response) == ids([row])
    assert "Any</option>" in response.content.decode()


@pytest.mark.parametrize(("query", "is_open"), [("code=503", True), ("status=dead", False)])
def test_rare_filters_are_open_when_one_is_applied(ops: Client, query: str, is_open: bool) -> None:
    assert ('id="more-filters" open' in ops.get(f"{URL}?{query}").content.decode()) is is_open


def test_preset_becomes_a_time_that_a_link_keeps(ops: Client) -> None:
    location = ops.get(f"{URL}?status=dead&since=15m").headers["Location"]
    assert re.fullmatch(rf"{URL}\?status=dead&since=\d{{4}}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d", location)
    assert ops.get(location).status_code == 200


def seen_of(response: Any) -> str:
    found = re.search(r"""hx-vals='\{"seen": "([^"]+)"\}'""", response.content.decode())
    assert found
    return found[1]


def test_poll_is_answered_204_while_nothing_has_changed(
    ops: Client, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "SAID_FOR_S", 3600)
    row = made(2)[0]
    seen = seen_of(ops.get(URL))
    with django_assert_num_queries(UNCHANGED_QUERIES):
        unchanged = ops.get(URL, {"seen": seen}, headers=LIVE)
    assert (unchanged.status_code, unchanged.content) == (204, b"")
    Delivery.objects.filter(pk=row.pk).update(status="retrying", attempts=1)
    changed = ops.get(URL, {"seen": seen}, headers=LIVE)
    assert "Retrying" in changed.content.decode()
    newest = made(1)
    assert shown(ops.get(URL, {"seen": seen_of(changed)}, headers=LIVE))[0] in ids(newest)


@pytest.mark.parametrize("seen", ["", "x", "-", "99999999999999999999-x", "1-00"])
def test_poll_is_answered_in_full_when_it_has_seen_nothing(ops: Client, seen: str) -> None:
    row = made(1)
    assert shown(ops.get(URL, {"seen": seen} if seen else {}, headers=LIVE)) == ids(row)


def test_poll_is_answered_in_full_when_its_times_are_old(ops: Client) -> None:
    made(1)
    at, _, mark = seen_of(ops.get(URL)).partition("-")
    old = f"{int(at) - deliveries.SAID_FOR_S - 1}-{mark}"
    assert ops.get(URL, {"seen": old}, headers=LIVE).status_code == 200


def test_subscribers_that_are_offered_are_bounded_and_of_the_chosen_tenant(
    ops: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "SUBSCRIBERS_MOST", 3)
    for _ in range(5):
        EndpointFactory()
    tenant = TenantFactory(slug="zz-last")
    subscription = SubscriptionFactory(endpoint=EndpointFactory(tenant=tenant))
    assert len(re.findall(r'<option value="endpoint-', ops.get(URL).content.decode())) == 3
    text = ops.get(URL, {"tenant": "zz-last"}).content.decode()
    assert re.findall(r'<option value="((?:endpoint|subscription)-\d+)"', text) == [
        f"endpoint-{subscription.endpoint_id}",
        f"subscription-{subscription.pk}",
    ]


def test_deleted_subscriber_is_still_a_filter(ops: Client) -> None:
    row = made(1)[0]
    type(row.endpoint).everything.filter(pk=row.endpoint_id).update(archived_at=timezone.now())
    assert shown(ops.get(URL, {"subscriber": f"endpoint-{row.endpoint_id}"})) == ids([row])


def test_list_offers_its_filter_as_a_file(ops: Client) -> None:
    made(1, dead=True)
    text = ops.get(f"{URL}?status=dead").content.decode()
    assert f'href="{URL}/export?status=dead&amp;format=csv"' in text
    assert f'href="{URL}/export?status=dead&amp;format=json"' in text
