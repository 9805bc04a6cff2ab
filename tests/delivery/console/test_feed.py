from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from delivery.console import paging
from delivery.models import FeedItem
from subscriptions.models import Endpoint
from tests.factories import EndpointFactory, UserFactory, event_id_at

pytestmark = pytest.mark.django_db
URL = "/console/feed"
LIVE = {"HX-Request": "true", "HX-Target": "live"}
PAGE_QUERIES = 7  # session, user, roles; rows; tenants; due keys; alerts that fire
POLL_QUERIES = 4  # session, user, roles; rows


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory())
    return client


def made(count: int, endpoint: Endpoint | None = None, **values: Any) -> list[FeedItem]:
    """Newest first."""
    endpoint = endpoint or EndpointFactory()
    now = timezone.now()
    defaults = {"type": "plugin.release.published", "subject": "payments-gateway", "summary": "A line"}
    return [
        FeedItem.objects.create(
            id=event_id_at(now - timedelta(seconds=place)),
            tenant=endpoint.tenant,
            endpoint=endpoint,
            event_id=uuid4(),
            **{**defaults, **values},
        )
        for place in range(count)
    ]


def shown(response: Any) -> list[str]:
    return re.findall(r'data-row="([0-9a-f-]+)"', response.content.decode())


def ids(items: list[FeedItem]) -> list[str]:
    return [str(item.pk) for item in items]


@pytest.mark.parametrize("user", [None, {"roles": ()}])
def test_only_people_with_a_role_see_the_feed(client: Client, user: dict[str, tuple[()]] | None) -> None:
    made(1, summary="Private")
    if user is not None:
        client.force_login(UserFactory(**user))
    response = client.get(URL)
    assert response.status_code in (302, 403)
    assert "Private" not in response.content.decode()


def test_newest_line_is_first_with_its_severity_in_words_and_a_link(ops: Client) -> None:
    items = made(2, severity="critical", summary="payments-gateway <2.4.1>")
    page = ops.get(URL)
    text = page.content.decode()
    assert shown(page) == ids(items)
    assert 'severity-critical"></span>Critical' in text
    assert "payments-gateway &lt;2.4.1&gt;" in text
    assert f'href="/console/deliveries/{items[0].pk}"' in text
    assert '<a href="/console/feed" aria-current="page">Feed</a>' in text


def test_pages_follow_each_other_both_ways(ops: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging.page_of, "__defaults__", (3,))
    items = made(7)
    first = ops.get(URL)
    second = ops.get(f"{URL}?before={items[2].pk}")
    assert (shown(first), shown(second)) == (ids(items[:3]), ids(items[3:6]))
    assert f"?before={items[2].pk}" in first.content.decode()
    assert "data-poll" not in second.content.decode()
    assert shown(ops.get(f"{URL}?after={items[3].pk}")) == ids(items[:3])


def test_tenant_filter_shows_its_lines_only_and_stays_in_links(ops: Client) -> None:
    mine, theirs = made(1), made(1)
    slug = mine[0].tenant.slug
    page = ops.get(f"{URL}?tenant={slug}")
    assert shown(page) == ids(mine)
    assert str(theirs[0].pk) not in page.content.decode()
    assert f'hx-get="{URL}?tenant={slug}"' in page.content.decode()


@pytest.mark.parametrize("slug", ["nobody", "%00", "A B"])
def test_unknown_tenant_shows_nothing_and_says_so(ops: Client, slug: str) -> None:
    made(1)
    page = ops.get(f"{URL}?tenant={slug}")
    assert shown(page) == []
    assert "Nothing of this tenant yet" in page.content.decode()


def test_empty_field_of_a_form_is_dropped(ops: Client) -> None:
    response = ops.get(f"{URL}?tenant=")
    assert (response.status_code, response.headers["Location"]) == (302, URL)


def test_empty_feed_says_how_to_fill_it(ops: Client) -> None:
    text = ops.get(URL).content.decode()
    assert "Nothing in the feed yet" in text
    assert "data-poll" in text


def test_poll_gets_the_live_part_alone(ops: Client, django_assert_num_queries: Any) -> None:
    items = made(2)
    with django_assert_num_queries(POLL_QUERIES):
        part = ops.get(URL, headers=LIVE)
    assert shown(part) == ids(items)
    assert "<html" not in part.content.decode()


def test_page_costs_the_same_queries_however_many_lines(ops: Client, django_assert_num_queries: Any) -> None:
    for _ in range(5):
        made(3)
    with django_assert_num_queries(PAGE_QUERIES):
        ops.get(URL)
