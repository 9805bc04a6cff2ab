from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from delivery.models import Alert, LinkKind, WorkOrder
from delivery.work_orders import service
from delivery.work_orders.rules import Draft
from eventcenter.access.roles import Role
from subscriptions.models import Tenant
from tests.delivery.approvals.desk import person
from tests.delivery.replays.desk import ACTOR
from tests.factories import DeliveryFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST, NEW = "/console/work-orders", "/console/work-orders/new"
LIST_QUERIES = 7  # session, user, roles; tenants; count, rows; alerts that fire
PAGE_QUERIES = (
    9  # session, user, roles; the work order; entries, comments; links, and what they lead to; alerts that fire
)


@pytest.fixture
def tenant() -> Tenant:
    made: Tenant = TenantFactory()
    return made


@pytest.fixture
def ops(tenant: Tenant, client: Client) -> Client:
    client.force_login(UserFactory(username="eva", roles=[(tenant, Role.OPERATOR)]))
    return client


def text_of(response: Any, status: int = 200) -> str:
    text = response.content.decode()
    assert response.status_code == status, text
    return str(text)


def opened(tenant: Tenant, **values: Any) -> WorkOrder:
    order = service.open_by_hand(Draft(**{"tenant_id": tenant.pk, "title": "Look after it"} | values), ACTOR).order
    assert order is not None
    return order


# --- New ---


def test_it_is_opened_from_a_delivery(ops: Client, tenant: Tenant) -> None:
    delivery = DeliveryFactory(dead=True, subscription__endpoint__tenant=tenant)
    page = reverse("delivery", args=[delivery.pk])
    new = f"{NEW}?delivery={delivery.pk}"
    assert new in text_of(ops.get(page))
    assert f'value="{delivery.event.subject} → {delivery.endpoint.slug}"' in text_of(ops.get(new))
    told = text_of(ops.post(new, {"title": "Look", "body": "It died.", "severity": "critical"}, follow=True))
    order = WorkOrder.objects.get()
    assert (order.tenant, order.origin, order.severity, order.opened_by) == (tenant, "delivery", "critical", "user:eva")
    assert f'href="{page}"' in told
    assert f"{LIST}/{order.pk}" in text_of(ops.get(page))


def test_it_is_opened_from_an_alert(ops: Client, tenant: Tenant) -> None:
    alert = Alert.objects.create(kind="x", dedup_key="x", summary="It fails.", tenant_id=tenant.pk)
    new = f"{NEW}?alert={alert.pk}"
    assert 'value="It fails."' in text_of(ops.get(new))
    ops.post(new, {"title": "Look", "severity": "warning"})
    assert WorkOrder.objects.get().origin == "alert"


def test_it_is_opened_from_nothing_in_a_tenant_of_ones_own(ops: Client, tenant: Tenant) -> None:
    other = TenantFactory()
    shown = text_of(ops.get(NEW))
    assert f">{tenant.slug}</option>" in shown
    assert other.slug not in shown
    for slug in (other.slug, "", "nobody", "a\0"):
        refused = text_of(ops.post(NEW, {"title": "Look", "severity": "warning", "tenant": slug}))
        assert "Tenant takes one of your tenants." in refused
    assert not WorkOrder.objects.exists()
    ops.post(NEW, {"title": "Look", "severity": "warning", "tenant": tenant.slug})
    assert WorkOrder.objects.get().origin == "hand"


def test_wrong_fields_are_told_and_what_was_typed_stays(ops: Client, tenant: Tenant) -> None:
    shown = text_of(ops.post(NEW, {"title": "", "body": "Kept.", "severity": "awful", "tenant": tenant.slug}))
    assert "Title takes one line" in shown
    assert "Severity takes one of" in shown
    assert "Kept.</textarea>" in shown
    assert not WorkOrder.objects.exists()


def test_strangers_find_nothing(ops: Client) -> None:
    foreign = DeliveryFactory(dead=True)
    order = opened(foreign.tenant)
    for url in (f"{NEW}?delivery={foreign.pk}", f"{NEW}?delivery={uuid4()}", f"{LIST}/{order.pk}", f"{LIST}/{uuid4()}"):
        assert ops.get(url).status_code == 404
    assert ops.post(f"{NEW}?delivery={foreign.pk}", {"title": "x", "severity": "info"}).status_code == 404
    assert ops.post(f"{LIST}/{order.pk}/comment", {"text": "x"}).status_code == 404
    assert foreign.tenant.slug not in text_of(ops.get(LIST))
    assert not order.comments.exists()


def test_who_may_only_look_changes_nothing(tenant: Tenant) -> None:
    order, client = opened(tenant), Client()
    client.force_login(UserFactory(roles=[(tenant, Role.VIEWER)]))
    shown = text_of(client.get(f"{LIST}/{order.pk}"))
    assert "<form" not in shown.split("<main", 1)[1].split("</main>", 1)[0]
    assert client.get(NEW).status_code == 403
    for action in ("comment", "assign", "link", "start", "close"):
        assert client.post(f"{LIST}/{order.pk}/{action}", {"text": "x"}).status_code == 403
    order.refresh_from_db()
    assert order.state == "open"


# --- One ---


def test_it_is_worked_on_from_its_page(ops: Client, tenant: Tenant) -> None:
    order = opened(tenant)
    page = f"{LIST}/{order.pk}"
    person(tenant, Role.OPERATOR, username="tom")
    delivery = DeliveryFactory(dead=True, subscription__endpoint__tenant=tenant)
    assert "In progress" in text_of(ops.post(f"{page}/start", follow=True))
    assert "They are told." in text_of(ops.post(f"{page}/comment", {"text": "They are told."}, follow=True))
    assert "to tom" in text_of(ops.post(f"{page}/assign", {"assignee": "tom"}, follow=True))
    assert "to eva" in text_of(ops.post(f"{page}/assign", {"assignee": "tom", "to_me": "1"}, follow=True))
    linked = text_of(ops.post(f"{page}/link", {"kind": "delivery", "id": f" {delivery.pk} "}, follow=True))
    assert reverse("delivery", args=[delivery.pk]) in linked
    closed = text_of(ops.post(f"{page}/close", {"outcome": "replayed", "text": "All got it."}, follow=True))
    assert "Replayed: All got it." in closed
    assert "Open again" in closed
    assert "Open again" not in text_of(ops.post(f"{page}/reopen", follow=True))


@pytest.mark.parametrize(
    ("action", "body", "words"),
    [
        ("comment", {"text": " "}, "text takes 1 to 4,000 characters"),
        ("assign", {"assignee": "nobody-at-all"}, "assignee takes the name of an active user"),
        ("link", {"kind": "delivery", "id": "x"}, "takes the id of a delivery"),
        ("link", {"kind": "delivery", "id": str(uuid4())}, "no delivery of the tenant has it"),
        ("close", {"outcome": "x", "text": "Kept."}, "outcome takes one of"),
        ("reopen", {}, "It is open"),
    ],
)
def test_refusal_is_told_and_nothing_is_changed(
    ops: Client, tenant: Tenant, action: str, body: dict[str, str], words: str
) -> None:
    order = opened(tenant)
    shown = text_of(ops.post(f"{LIST}/{order.pk}/{action}", body))
    assert words in shown
    if body.get("text", " ").strip():
        assert "Kept.</textarea>" in shown
    order.refresh_from_db()
    assert (order.state, order.comments.count(), order.links.count()) == ("open", 0, 0)


def test_unknown_action_is_not_found(ops: Client, tenant: Tenant) -> None:
    assert ops.post(f"{LIST}/{opened(tenant).pk}/explode").status_code == 404


def test_page_asks_as_much_however_much_is_linked(ops: Client, tenant: Tenant, django_assert_num_queries: Any) -> None:
    order = opened(tenant)
    for _ in range(3):
        delivery = DeliveryFactory(dead=True, subscription__endpoint__tenant=tenant)
        service.link(order.pk, LinkKind.DELIVERY, delivery.pk, ACTOR)
        service.comment(order.pk, "x", ACTOR)
    with django_assert_num_queries(PAGE_QUERIES):
        text_of(ops.get(f"{LIST}/{order.pk}"))


# --- List ---


def test_list_is_filtered_by_the_url(ops: Client, tenant: Tenant, django_assert_num_queries: Any) -> None:
    mine, closed, grave = opened(tenant), opened(tenant), opened(tenant, severity="critical")
    service.assign(mine.pk, "eva", ACTOR)
    service.close(closed.pk, "replayed", "", ACTOR)

    def shown(query: str) -> list[str]:
        return re.findall(r'data-row="([^"]+)"', text_of(ops.get(f"{LIST}?{query}")))

    with django_assert_num_queries(LIST_QUERIES):
        assert shown("") == [str(row.pk) for row in (grave, closed, mine)]
    assert shown("state=closed") == [str(closed.pk)]
    assert shown("state=unfinished") == [str(grave.pk), str(mine.pk)]
    assert shown("assignee=me") == [str(mine.pk)]
    assert shown("assignee=nobody&state=open") == [str(grave.pk)]
    assert shown("severity=critical&tenant=nonsense") == [str(grave.pk)]
    assert ops.get(f"{LIST}?state=&severity=critical").headers["Location"] == f"{LIST}?severity=critical"
    assert "Nothing fits these filters" in text_of(ops.get(f"{LIST}?state=in_progress"))


def test_list_goes_on_by_key(ops: Client, tenant: Tenant) -> None:
    rows = WorkOrder.objects.bulk_create(
        WorkOrder(tenant=tenant, title=f"{number}", opened_by="user:eva") for number in range(52)
    )
    older = re.search(r'rel="next" href="([^"]+)"', text_of(ops.get(LIST)))
    assert older is not None
    shown = text_of(ops.get(older[1].replace("&amp;", "&")))
    assert re.findall(r'data-row="([^"]+)"', shown) == [str(row.pk) for row in reversed(rows[:2])]


def test_nobody_is_let_in_without_signing_in() -> None:
    for page in (LIST, NEW, f"{LIST}/{uuid4()}"):
        assert Client().get(page).status_code == 302


def test_list_polls_its_live_part_and_an_unassigned_order_is_taken_from_it(ops: Client, tenant: Tenant) -> None:
    order = opened(tenant)
    take = reverse("work-order-move", args=[order.pk, "assign"])
    live = text_of(ops.get(LIST, headers={"HX-Request": "true", "HX-Target": "live"}))
    assert live.strip().startswith('<div id="live"')
    assert "data-poll" in live
    assert take in live
    ops.post(take, {"to_me": "1"})
    order.refresh_from_db()
    assert order.assignee is not None
    assert take not in text_of(ops.get(LIST))
