"""The console's pages of alerts: what they show to whom, and the acknowledgement."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from delivery.alerting.incidents import joined
from delivery.console import alerts as pages
from delivery.models import Alert, Incident, Page, WorkOrder, WorkOrderLink
from eventcenter.access.roles import Role
from subscriptions.models import Endpoint, Tenant
from tests.delivery.alerting.calls import calls, make_alert, make_contact, resolve
from tests.factories import EndpointFactory, SuperuserFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST_QUERIES = 8  # session, user, roles; tenants; count, open ones, the page; alerts that fire
PAGE_QUERIES = (
    9  # session, user, roles; the alert; its incident's pages, contacts, alerts; work orders; alerts that fire
)

SignedIn = Callable[..., Client]


@pytest.fixture
def signed_in() -> SignedIn:
    def sign_in(*roles: tuple[Tenant | None, Role]) -> Client:
        client = Client()
        client.force_login(UserFactory(roles=roles))
        return client

    return sign_in


@pytest.fixture
def ops(signed_in: SignedIn) -> Client:
    return signed_in((None, Role.OPERATOR))


@pytest.fixture
def endpoint() -> Endpoint:
    return EndpointFactory(tenant__slug="acme", slug="ci-cd")


def firing(endpoint: Endpoint | None = None, **given: Any) -> Alert:
    """In its incident."""
    about = {"tenant_id": endpoint.tenant_id, "endpoint_id": endpoint.pk} if endpoint else {}
    alert = make_alert(**about | {"fired_at": timezone.now()} | given)
    joined(alert, timezone.now())
    return alert


def shown(client: Client, query: str = "", **headers: str) -> str:
    response = client.get(f"/console/alerts{query}", headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def page_of(client: Client, alert: Alert) -> str:
    response = client.get(f"/console/alerts/{alert.pk}")
    assert response.status_code == 200
    return response.content.decode()


def rows(text: str, alerts: dict[str, Alert]) -> list[str]:
    """The names of those that are listed, in their order."""
    found = {name: text.find(f'data-row="{alert.pk}"') for name, alert in alerts.items()}
    return sorted((name for name, place in found.items() if place >= 0), key=lambda name: found[name])


def test_list_tells_what_will_appear_when_it_is_empty(ops: Client, signed_in: SignedIn) -> None:
    assert "No alerts yet" in shown(ops)
    assert reverse("admin:delivery_alertcontact_add") not in shown(ops)
    assert reverse("admin:delivery_alertcontact_add") in shown(signed_in((None, Role.TENANT_ADMIN)))


def test_open_alerts_come_first_then_the_newest(ops: Client, endpoint: Endpoint) -> None:
    alerts = {"open": firing(endpoint), "old": resolve(firing(endpoint)), "new": resolve(firing(endpoint))}
    text = shown(ops)
    assert rows(text, alerts) == ["open", "new", "old"]
    assert "<b>3</b> alerts" in text
    assert 'ci-cd <span class="tenant">acme</span>' in text


@pytest.mark.parametrize(
    ("query", "listed"),
    [
        ("?state=open", ["pending", "lag", "failing"]),
        ("?state=firing", ["lag", "failing"]),
        ("?state=resolved", ["over"]),
        ("?severity=warning", ["lag"]),
        ("?kind=consumer_lag", ["lag"]),
        ("?tenant=acme", ["pending", "failing", "over"]),
        ("?state=resolved&severity=warning", []),
        ("?state=nonsense", ["pending", "lag", "failing", "over"]),
    ],
)
def test_list_is_filtered_by_its_url(ops: Client, endpoint: Endpoint, query: str, listed: list[str]) -> None:
    alerts = {
        "over": resolve(firing(endpoint)),
        "failing": firing(endpoint),
        "lag": firing(kind="consumer_lag", severity="warning"),
        "pending": make_alert(tenant_id=endpoint.tenant_id, endpoint_id=endpoint.pk, state="pending", fired_at=None),
    }
    assert rows(shown(ops, query), alerts) == listed


def test_pages_go_on_from_the_last_row_and_have_the_open_ones_on_the_first_only(
    ops: Client, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = {f"{number:02}": resolve(make_alert(tenant_id=endpoint.tenant_id)) for number in range(53)}
    alerts["open"] = firing(endpoint)
    first = shown(ops)
    assert rows(first, alerts) == ["open", *(f"{number:02}" for number in range(52, 2, -1))]
    older = shown(ops, f"?before={alerts['03'].pk}")
    assert rows(older, alerts) == ["02", "01", "00"]
    assert "Older page, not live" in older
    monkeypatch.setattr(pages, "OPEN_MOST", 1)
    firing(endpoint, kind="latency")
    assert "More are open" in shown(ops)


def test_poll_gets_the_live_part_alone(ops: Client, endpoint: Endpoint) -> None:
    alert = firing(endpoint)
    fragment = shown(ops, "?state=open", **{"HX-Request": "true", "HX-Target": "live"})
    assert fragment.lstrip().startswith('<div id="live" hx-get="/console/alerts?state=open"')
    assert "<html" not in fragment
    page = ops.get(f"/console/alerts/{alert.pk}", headers={"HX-Request": "true", "HX-Target": "live"}).content.decode()
    assert page.lstrip().startswith('<div id="live"')
    assert (
        "hx-get" not in ops.get(f"/console/alerts/{resolve(alert).pk}").content.decode().partition('id="live"')[2][:200]
    )


def test_tenant_s_people_see_their_own_alerts_only(signed_in: SignedIn, endpoint: Endpoint) -> None:
    own, others, platform = firing(endpoint), firing(EndpointFactory()), firing(kind="consumer_lag")
    viewer = signed_in((endpoint.tenant, Role.VIEWER))
    text = shown(viewer)
    assert rows(text, {"own": own, "others": others, "platform": platform}) == ["own"]
    assert ">1<span" in text.partition("tally alarm")[2][:60]
    for hidden in (others, platform):
        assert viewer.get(f"/console/alerts/{hidden.pk}").status_code == 404
        assert viewer.post(f"/console/alerts/{hidden.pk}/acknowledge").status_code in (403, 404)
    assert Incident.objects.filter(acknowledged_at__isnull=False).count() == 0


def test_header_counts_what_fires_now(ops: Client, endpoint: Endpoint) -> None:
    assert "tally alarm" not in shown(ops)
    firing(endpoint), firing(), resolve(firing(endpoint)), make_alert(state="pending")
    assert ">2<span" in shown(ops).partition("tally alarm")[2][:60]
    for _ in range(100):
        make_alert()
    assert ">99+<span" in shown(ops).partition("tally alarm")[2][:60]


def test_page_says_what_against_what_who_was_called_and_what_to_do(ops: Client, endpoint: Endpoint) -> None:
    make_contact(), make_contact("Mail", address="team@example.com", tenant=endpoint.tenant)
    alert = firing(endpoint, details={"value": 0.1, "threshold": 0.05, "window_s": 300, "attempts": 41})
    other = firing(endpoint, kind="latency", summary="It is slow")
    Page.objects.filter(contact__name="Mail").update(next_at=None, error="The mail server refused the address: 550.")
    text = page_of(ops, alert)
    for said in (
        "10 %",
        "5 %",
        "5 m 00 s",
        "41",
        "Ops on call",
        "waits to be sent",
        "given up: The mail server refused",
    ):
        assert said in text, said
    assert 'href="/runbook#failure-rate"' in text
    assert f'href="/console/deliveries?tenant=acme&amp;subscriber=endpoint-{endpoint.pk}"' in text
    assert reverse("admin:subscriptions_endpoint_change", args=[endpoint.pk]) in text
    assert f'href="/console/alerts/{other.pk}">It is slow' in text
    assert f'href="/console/work-orders/new?alert={alert.pk}"' in text
    assert alert.summary in ops.get(f"/alerts/{alert.pk}").content.decode()
    assert ops.get("/alerts?state=open").headers["Location"] == "/console/alerts?state=open"


def test_page_shows_its_work_orders(ops: Client, endpoint: Endpoint) -> None:
    alert = firing(endpoint)
    order = WorkOrder.objects.create(tenant=endpoint.tenant, title="See to ci-cd", body="", opened_by="user:eva")
    WorkOrderLink.objects.create(tenant=endpoint.tenant, work_order=order, kind="alert", target_id=alert.pk)
    assert "See to ci-cd" in page_of(ops, alert)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"muted": True}, "Nobody: its rule was muted"),
        ({}, "Nobody: no contact wants"),
        ({"state": "pending"}, "Nobody yet"),
    ],
)
def test_page_says_why_nobody_was_called(ops: Client, given: dict[str, Any], said: str) -> None:
    assert said in page_of(ops, make_alert(**given))


def test_acknowledge_is_the_operator_s_and_tells_who_was_called(signed_in: SignedIn, endpoint: Endpoint) -> None:
    make_contact()
    alert = firing(endpoint)
    url = f"/console/alerts/{alert.pk}/acknowledge"
    viewer, operator = signed_in((endpoint.tenant, Role.VIEWER)), signed_in((endpoint.tenant, Role.OPERATOR))
    assert url not in page_of(viewer, alert)
    assert viewer.post(url).status_code == 403
    assert calls() == [("Ops on call", "trigger")]

    text = page_of(operator, alert)
    assert url in text
    assert "the platform&#x27;s people" in text  # whose names a tenant's people are not told
    after = operator.post(url, follow=True).content.decode()
    assert "Acknowledged. Whoever was called is told." in after
    assert url not in after
    assert "In hand: user:" in after
    assert calls() == [("Ops on call", "trigger"), ("Ops on call", "acknowledge")]
    assert "Not acknowledged" in operator.post(url, follow=True).content.decode()
    assert operator.get(url).status_code == 405


def test_rule_can_be_reached_by_those_who_administer(signed_in: SignedIn, endpoint: Endpoint) -> None:
    alert = firing(endpoint)
    assert "Mute the rule" not in page_of(signed_in((endpoint.tenant, Role.OPERATOR)), alert)
    assert page_of(signed_in((endpoint.tenant, Role.TENANT_ADMIN)), alert)


def test_queries_do_not_grow_with_alerts_and_calls(
    ops: Client, endpoint: Endpoint, django_assert_num_queries: Any
) -> None:
    for number in range(12):
        make_contact(f"Service {number}")
        firing(endpoint), resolve(firing(EndpointFactory()))
    alert = Alert.objects.filter(resolved_at=None).earliest("pk")
    with django_assert_num_queries(LIST_QUERIES):
        shown(ops)
    with django_assert_num_queries(PAGE_QUERIES):
        page_of(ops, alert)


def test_superuser_sees_times_as_times(endpoint: Endpoint) -> None:
    client = Client()
    client.force_login(SuperuserFactory())
    alert = firing(endpoint, fired_at=timezone.now() - timedelta(minutes=5))
    assert "5 m 00 s ago" in page_of(client, alert)
    assert client.get(f"/console/alerts/{UUID(int=1)}").status_code == 404


def test_alert_of_a_deleted_tenant_is_shown_by_its_kind(ops: Client) -> None:
    tenant = TenantFactory()
    alert = firing(
        tenant_id=tenant.pk, kind="a.kind.of.later", details={"nested": {"a": 1}, "flag": True, "text": "why"}
    )
    Tenant.objects.filter(pk=tenant.pk).delete()
    text = page_of(ops, alert)
    assert "a.kind.of.later" in text
    assert "why" in text
