"""What stands around every page: the switch of tenants, the reader's menu, landmarks."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from delivery.console.frame import role_words
from eventcenter.access.principal import of_memberships
from eventcenter.access.roles import Role
from tests import factories

pytestmark = pytest.mark.django_db
DELIVERIES = "/console/deliveries"
SWITCH = "/console/tenant"
LIVE = {"HX-Request": "true", "HX-Target": "live"}
MAIN = {"HX-Request": "true", "HX-Target": "main"}


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(factories.UserFactory())
    return client


def member(*tenants: Any) -> Client:
    client = Client()
    client.force_login(factories.UserFactory(roles=[(tenant, Role.VIEWER) for tenant in tenants]))
    return client


def chosen(client: Client) -> str:
    return str(client.session.get("tenant", ""))


def test_chosen_tenant_goes_along_to_the_lists_when_it_was_switched_to(ops: Client) -> None:
    slug = factories.TenantFactory().slug

    response = ops.post(
        SWITCH, {"tenant": slug.upper(), "next": f"{DELIVERIES}?status=dead&subscriber=endpoint-1&before=x"}
    )

    assert response.headers["Location"] == f"{DELIVERIES}?status=dead&tenant={slug}"
    page = ops.get(reverse("runbook")).content.decode()
    assert f'href="{reverse("alerts")}?tenant={slug}"' in page
    assert f'href="{reverse("objectives")}"' in page  # that page has all
    assert "is-chosen" in page


def test_all_tenants_are_back_when_they_are_chosen(ops: Client) -> None:
    slug = factories.TenantFactory().slug
    ops.post(SWITCH, {"tenant": slug})

    response = ops.post(SWITCH, {"tenant": "", "next": f"{DELIVERIES}?tenant={slug}&status=dead"})

    assert response.headers["Location"] == f"{DELIVERIES}?status=dead"
    assert chosen(ops) == ""


@pytest.mark.parametrize(
    "back",
    ["", "https://elsewhere.example/console/deliveries", "//elsewhere.example", "/no-such-page", "/runbook", "\\\\x"],
)
def test_switch_leads_home_when_it_was_asked_on_no_list(ops: Client, back: str) -> None:
    slug = factories.TenantFactory().slug

    assert ops.post(SWITCH, {"tenant": slug, "next": back}).headers["Location"] == f"/?tenant={slug}"


def test_tenant_cannot_be_chosen_when_one_may_not_see_it() -> None:
    ours, theirs = factories.TenantFactory(), factories.TenantFactory()
    client = member(ours, factories.TenantFactory())

    for slug in (theirs.slug, "no-such", "a\0b", "x" * 500, "'"):
        response = client.post(SWITCH, {"tenant": slug}, follow=True)
        assert chosen(client) == ""
        assert "There is no tenant" in response.content.decode()
    client.get(DELIVERIES, {"tenant": theirs.slug})
    assert chosen(client) == ""
    assert theirs.slug not in client.get(SWITCH).content.decode()


def test_list_sets_and_clears_what_is_chosen_when_a_person_asks_for_it(ops: Client) -> None:
    slug = factories.TenantFactory().slug

    ops.get(DELIVERIES, {"tenant": slug}, headers=LIVE)
    assert chosen(ops) == ""  # a poll chooses nothing
    ops.get(DELIVERIES, {"tenant": slug}, headers=MAIN)
    assert chosen(ops) == slug
    ops.get(DELIVERIES, headers=LIVE)
    ops.get(reverse("runbook"))
    assert chosen(ops) == slug
    ops.get(DELIVERIES)
    assert chosen(ops) == ""


def test_session_is_written_on_a_change_alone(ops: Client, django_assert_num_queries: Any) -> None:
    slug = factories.TenantFactory().slug
    ops.get(reverse("feed"), {"tenant": slug})
    with django_assert_num_queries(8) as asked:
        ops.get(reverse("feed"), {"tenant": slug})

    assert not any("UPDATE" in query["sql"] for query in asked.captured_queries)


def test_switch_is_not_shown_when_one_sees_one_tenant() -> None:
    ours, other = factories.TenantFactory(), factories.TenantFactory()

    assert SWITCH not in member(ours).get(DELIVERIES).content.decode()
    assert SWITCH in member(ours, other).get(DELIVERIES).content.decode()


def test_choices_come_as_options_when_the_switch_asks_for_them(ops: Client) -> None:
    slug = factories.TenantFactory().slug
    answer = ops.get(SWITCH, headers={"HX-Request": "true", "HX-Target": "tenant-choices"}).content.decode()

    assert f'<option value="{slug}">' in answer
    assert "<html" not in answer


def test_frame_has_landmarks_one_heading_and_a_way_past_them(ops: Client) -> None:
    for name in ("deliveries", "search", "tenant-switch", "alerts", "runbook"):
        page = ops.get(reverse(name)).content.decode()
        assert len(re.findall(r"<h1[ >]", page)) == 1, name
        assert len(re.findall(r"<main ", page)) == 1
        assert page.index('href="#main"') < page.index("<header")
        assert 'role="search"' in page
        assert 'aria-label="Main"' in page


def test_frame_of_a_stranger_has_neither_rooms_nor_search() -> None:
    for url in ("/sign-in", "/signed-out", "/no-such-page"):
        page = Client().get(url).content.decode()
        assert 'role="search"' not in page
        assert "<h1>" in page


def test_menu_says_who_one_is_and_what_one_may(ops: Client) -> None:
    tenant = factories.TenantFactory()
    client = Client()
    client.force_login(factories.UserFactory(username="eva", is_staff=False, roles=[(tenant, Role.OPERATOR)]))

    page = client.get(DELIVERIES).content.decode()

    assert "eva" in page
    assert "Operator in 1 tenant" in page
    assert reverse("admin-own-password") not in page  # which would refuse them


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(None, "viewer")], ["Viewer in all tenants"]),
        ([(None, "operator"), (None, "viewer"), (None, "approver")], ["Operator, Approver in all tenants"]),
        ([(1, "tenant_admin"), (2, "viewer"), (3, "viewer")], ["Tenant admin in 1 tenant", "Viewer in 2 tenants"]),
        ([], []),
    ],
)
def test_roles_are_named_by_the_widest_of_them(rows: list[tuple[int | None, str]], words: list[str]) -> None:
    assert role_words(of_memberships("user:x", "", 1, rows, root=False)) == words
