from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from delivery.console import listing
from delivery.models import Delivery
from tests.factories import (
    PASSWORD,
    DeliveryFactory,
    EndpointFactory,
    EventFactory,
    SubscriptionFactory,
    SuperuserFactory,
    TenantFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db
URL = "/console/deliveries"
LIVE = {"HX-Request": "true", "HX-Target": "live"}
# Beside the look itself, which is counted in test_look: session, user, roles; due keys; rows, their events; what the form
# offers: tenants, endpoints, subscriptions, types; alerts that fire.
PAGE_QUERIES = 11
POLL_QUERIES = 5  # session, user, roles; rows, their events
UNCHANGED_QUERIES = 4  # session, user, roles; what the rows show
FILTER_QUERIES = 3  # the tenant; the endpoint and its subscriptions


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory())
    return client


def made(n: int, **values: Any) -> list[Delivery]:
    """`n` deliveries, newest first."""
    subscription = values.pop("subscription", None) or SubscriptionFactory()
    now = timezone.now()
    ages = [now - timedelta(seconds=10 * place + 5) for place in range(n)]
    return [DeliveryFactory(subscription=subscription, accepted_at=at, **values) for at in ages]


def shown(response: Any) -> list[str]:
    """The ids of the rows on the page, in order."""
    return re.findall(r'data-row="([0-9a-f-]+)"', response.content.decode())


def ids(deliveries: list[Delivery]) -> list[str]:
    return [str(delivery.pk) for delivery in deliveries]


def test_root_leads_to_the_overview(ops: Client) -> None:
    assert ops.get("/").headers["Location"] == reverse("overview")


def test_newest_come_first_with_what_a_row_shows(ops: Client) -> None:
    rows = made(3, retrying=True)
    response = ops.get(URL)
    assert shown(response) == ids(rows)
    text = response.content.decode()
    row = rows[0]
    for words in (row.event.subject, row.event.type, row.tenant.slug, row.endpoint.slug, row.subscription.slug):
        assert words in text
    assert 'class="dot retrying"></span>Retrying' in text
    assert ">503<" in text
    assert re.search(r'<time datetime="[^"]+Z" title="[^"]+ UTC">\d+ s ago</time>', text)


def test_row_says_why_it_is_held_and_until_when(ops: Client) -> None:
    made(1, held_reason="endpoint_paused", next_attempt_at=timezone.now() + timedelta(seconds=600))
    text = ops.get(URL).content.decode()
    assert "held: endpoint paused" in text
    assert re.search(r">in (9 m 5\d s|10 m 00 s)<", text)


@pytest.mark.parametrize("rows", [1, 40])
def test_query_count_does_not_grow_with_rows(ops: Client, django_assert_num_queries: Any, rows: int) -> None:
    for _ in range(rows):
        DeliveryFactory(delivered=True)
    with django_assert_num_queries(PAGE_QUERIES):
        ops.get(URL)


def test_filtered_page_and_poll_have_few_queries(ops: Client, django_assert_num_queries: Any) -> None:
    row = made(5)[0]
    query = {"tenant": row.tenant.slug, "subscriber": f"endpoint-{row.endpoint_id}", "status": "pending"}
    ops.get(URL, query)  # from here on the tenant is the chosen one
    with django_assert_num_queries(PAGE_QUERIES + FILTER_QUERIES):
        ops.get(URL, query)
    with django_assert_num_queries(POLL_QUERIES + FILTER_QUERIES):
        ops.get(URL, query, headers=LIVE)
    with django_assert_num_queries(POLL_QUERIES):
        ops.get(URL, headers=LIVE)


@pytest.mark.parametrize("key", ["tenant", "endpoint", "subscription", "status"])
def test_only_what_fits_is_shown_when_filtered(ops: Client, key: str) -> None:
    wanted = made(2, dead=True)
    made(2, delivered=True)
    row = wanted[0]
    query = {
        "tenant": {"tenant": row.tenant.slug},
        "endpoint": {"subscriber": f"endpoint-{row.endpoint_id}"},
        "subscription": {"subscriber": f"subscription-{row.subscription_id}"},
        "status": {"status": "dead"},
    }[key]
    response = ops.get(URL, query)
    assert shown(response) == ids(wanted)
    assert "<b>2</b> deliveries" in response.content.decode()


def test_several_statuses_are_or_and_other_filters_are_and(ops: Client) -> None:
    tenant = TenantFactory()
    subscription = SubscriptionFactory(endpoint=EndpointFactory(tenant=tenant))
    dead, retrying = made(1, subscription=subscription, dead=True), made(1, subscription=subscription, retrying=True)
    made(1, subscription=subscription, delivered=True)
    made(1, dead=True)
    response = ops.get(URL, {"tenant": tenant.slug, "status": ["dead", "retrying"]})
    assert set(shown(response)) == set(ids(dead + retrying))


def test_each_applied_filter_is_a_pill_that_takes_only_itself_away(ops: Client) -> None:
    row = made(1, dead=True)[0]
    text = ops.get(URL, {"tenant": row.tenant.slug, "status": ["dead", "retrying"]}).content.decode()
    pills = re.findall(r'<a class="pill" href="([^"]+)" aria-label="Remove filter (\w+ \S+)"', text)
    assert [(label, href.replace("&amp;", "&")) for href, label in pills] == [
        (f"Tenant {row.tenant.slug}", f"{URL}?status=dead&status=retrying"),
        ("Status Dead", f"{URL}?tenant={row.tenant.slug}&status=retrying"),
        ("Status Retrying", f"{URL}?tenant={row.tenant.slug}&status=dead"),
    ]


@pytest.mark.parametrize(
    "query", ["tenant=nobody", "subscriber=endpoint-999999", "subscriber=x", "status=odd", "before=x", "after=%00"]
)
def test_page_answers_when_the_url_holds_nonsense(ops: Client, query: str) -> None:
    assert ops.get(f"{URL}?{query}").status_code == 200


def test_empty_fields_of_the_form_leave_the_url(ops: Client) -> None:
    response = ops.get(f"{URL}?tenant=&subscriber=&status=dead")
    assert response.headers["Location"] == f"{URL}?status=dead"


def pages(ops: Client, rel: str, url: str) -> list[list[str]]:
    """The rows of each page on the way from `url` along rel=next or rel=prev."""
    seen = []
    while url:
        response = ops.get(url)
        seen.append(shown(response))
        link = re.search(rf'<a rel="{rel}" href="([^"]+)"', response.content.decode())
        url = link[1].replace("&amp;", "&") if link else ""
        assert len(seen) < 20
    return seen


def test_pages_lead_through_everything_once_and_back(ops: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing.listed, "__defaults__", (3, 100))
    rows = ids(made(8, dead=True))
    made(2, delivered=True)
    down = pages(ops, "next", f"{URL}?status=dead")
    assert down == [rows[:3], rows[3:6], rows[6:]]
    oldest = f"{URL}?status=dead&before={rows[5]}"
    up = pages(ops, "prev", oldest)
    assert up[0] == rows[6:]
    assert up[-1] == rows[:3]


def test_older_page_is_not_live(ops: Client) -> None:
    rows = made(2)
    text = ops.get(f"{URL}?before={rows[0].pk}").content.decode()
    assert "data-poll" not in text
    assert "Back to the newest" in text


def test_newest_page_polls_itself_with_its_filters(ops: Client) -> None:
    made(1, dead=True)
    text = ops.get(f"{URL}?status=dead").content.decode()
    assert f'hx-get="{URL}?status=dead" hx-trigger="poll"' in text


def test_poll_answers_with_the_live_part_alone(ops: Client) -> None:
    rows = made(2)
    response = ops.get(URL, headers=LIVE)
    assert shown(response) == ids(rows)
    assert response.content.decode().strip().startswith('<div id="live"')
    assert "HX-Request" in response.headers["Vary"]
    assert "no-store" in response.headers["Cache-Control"]


def test_poll_goes_to_the_sign_in_page_when_the_session_has_ended(client: Client) -> None:
    response = client.get(URL, headers=LIVE | {"HX-Current-URL": f"http://testserver{URL}?status=dead"})
    assert response.headers["HX-Redirect"] == "/sign-in?next=/console/deliveries%3Fstatus%3Ddead"
    assert response.content == b""


def test_count_is_capped(ops: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing.listed, "__defaults__", (50, 2))
    made(3)
    assert "<b>2+</b> deliveries" in ops.get(URL).content.decode()


def test_empty_page_says_what_will_appear(ops: Client) -> None:
    assert "No deliveries yet" in ops.get(URL).content.decode()
    assert "Nothing fits these filters" in ops.get(f"{URL}?status=dead").content.decode()


def test_subject_is_escaped(ops: Client) -> None:
    subscription = SubscriptionFactory()
    event = EventFactory(tenant=subscription.tenant, subject="<script>alert(1)</script>")
    DeliveryFactory(subscription=subscription, event=event)
    text = ops.get(URL).content.decode()
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text


@pytest.mark.parametrize("name", ["deliveries", "delivery", "delivery-replay"])
def test_page_asks_to_sign_in_when_nobody_is(client: Client, name: str) -> None:
    url = reverse(name, args=[] if name == "deliveries" else [uuid4()])
    response = client.get(url)
    assert response.status_code == 302
    assert response.headers["Location"] == f"/sign-in?next={url}"


def test_page_is_refused_when_the_user_has_no_role(client: Client) -> None:
    client.force_login(UserFactory(roles=()))
    response = client.get(URL)
    assert response.status_code == 403
    assert "You may not see this" in response.content.decode()


def test_page_needs_no_inline_script_or_style(ops: Client) -> None:
    made(3)
    response = ops.get(URL)
    text = response.content.decode()
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|<script(?![^>]+src=)|\son\w+=|javascript:", text)


def test_sign_in_and_out(client: Client) -> None:
    user = SuperuserFactory()
    assert "Sign in" in client.get("/sign-in").content.decode()
    wrong = client.post("/sign-in", {"username": user.username, "password": "wrong"})
    assert 'role="alert"' in wrong.content.decode()
    right = client.post("/sign-in", {"username": user.username, "password": PASSWORD, "next": f"{URL}?status=dead"})
    assert right.headers["Location"] == f"{URL}?status=dead"
    assert client.post("/sign-out").headers["Location"] == "/sign-in"
    assert client.get(URL).status_code == 302


def test_unknown_address_has_a_page(ops: Client) -> None:
    response = ops.get("/console/nothing")
    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()
