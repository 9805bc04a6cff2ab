from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from delivery.approvals import service
from delivery.models import Approval, ApprovalKind, Delivery, WorkOrder
from eventcenter.access.principal import of_user
from eventcenter.access.roles import Role
from subscriptions.models import Tenant
from tests.delivery.approvals.desk import asked, disabled_by_system, draft, escalated, operator
from tests.factories import DeliveryFactory, TenantFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queues")]
LIST, NEW = "/console/approvals", "/console/approvals/new"
REPLAY = ApprovalKind.DELIVERY_REPLAY
LIST_QUERIES = 9  # session, user, roles; what waits for the reader, twice; tenants; waiting, over; alerts that fire
PAGE_QUERIES = 7  # session, user, roles; the approval; its work orders; what waits for the reader; alerts that fire


@pytest.fixture
def tenant() -> Tenant:
    made: Tenant = TenantFactory()
    return made


SignedIn = Callable[..., tuple[Client, User]]


@pytest.fixture
def signed_in() -> SignedIn:
    def sign_in(tenant: Tenant | None, *roles: Role) -> tuple[Client, User]:
        user, client = UserFactory(roles=[(tenant, role) for role in roles]), Client()
        client.force_login(user)
        return client, user

    return sign_in


def text_of(response: Any, status: int = 200) -> str:
    text = response.content.decode()
    assert response.status_code == status, text
    return str(text)


def of(tenant: Tenant) -> Delivery:
    return escalated(subscription__endpoint__tenant=tenant)


# --- Ask ---


def test_page_of_a_delivery_that_called_a_person_asks_instead_of_replaying(tenant: Tenant, signed_in: SignedIn) -> None:
    client, _ = signed_in(tenant, Role.OPERATOR)
    called, other = of(tenant), DeliveryFactory(dead=True, subscription__endpoint__tenant=tenant)
    shown = text_of(client.get(reverse("delivery", args=[called.pk])))
    assert f"{NEW}?kind=delivery.replay&amp;target={called.pk}" in shown
    assert "Replay…" not in shown
    assert "somebody was called" in shown
    assert "Replay…" in text_of(client.get(reverse("delivery", args=[other.pk])))
    for door in ("delivery-replay", "delivery-pass-over"):
        assert client.get(reverse(door, args=[called.pk])).headers["Location"].startswith(NEW)
    told = text_of(client.post(reverse("delivery-replay", args=[called.pk]), follow=True))
    assert "Not replayed." in told
    assert Delivery.objects.get(pk=called.pk).replays == 0


def test_second_person_is_asked_and_decides(tenant: Tenant, signed_in: SignedIn) -> None:
    (first, eva), (second, tom) = signed_in(tenant, Role.OPERATOR), signed_in(tenant, Role.APPROVER)
    delivery = of(tenant)
    ask = f"{NEW}?kind=delivery.replay&target={delivery.pk}"
    assert "Ask a second person?" in text_of(first.get(ask))
    shown = text_of(first.post(ask, {"reason": "The receiver is back."}, follow=True))
    approval = Approval.objects.get()
    assert (approval.requested_by, approval.requested_by_user) == (f"user:{eva.username}", eva)
    assert "Approve and do it" not in shown
    assert "Withdraw" in shown
    assert first.get(ask).headers["Location"] == f"{LIST}/{approval.pk}"
    assert "Approve and do it" in text_of(second.get(f"{LIST}/{approval.pk}"))
    told = text_of(second.post(f"{LIST}/{approval.pk}/approve", {"reason": "Seen it."}, follow=True))
    assert "Approved and done." in told
    assert Delivery.objects.get().replays == 1
    approval.refresh_from_db()
    assert (approval.state, approval.decided_by_user) == ("approved", tom)


def test_draft_above_the_count_asks_instead_of_starting(settings: Settings, signed_in: SignedIn) -> None:
    settings.APPROVAL_REPLAY_COUNT = 2
    client, _ = signed_in(None, Role.OPERATOR)
    job = draft(3)
    shown = text_of(client.get(f"/console/replays/{job.pk}"))
    assert f"{NEW}?kind=replay.start&amp;target={job.pk}" in shown
    assert f"/console/replays/{job.pk}/start" not in shown
    text_of(client.post(f"/console/replays/{job.pk}/start", follow=True))
    job.refresh_from_db()
    assert job.state == "draft"
    settings.APPROVAL_REPLAY_COUNT = 3
    assert f"/console/replays/{job.pk}/start" in text_of(client.get(f"/console/replays/{job.pk}"))


def test_endpoint_that_the_system_disabled_can_be_asked_for(tenant: Tenant, signed_in: SignedIn) -> None:
    client, _ = signed_in(tenant, Role.OPERATOR)
    endpoint = disabled_by_system(tenant)
    shown = text_of(client.get(f"{NEW}?kind=endpoint.resume&target={endpoint.pk}"))
    assert f"Enable {endpoint} again" in shown


@pytest.mark.parametrize("query", ["", "kind=x", "kind=delivery.replay", "kind=delivery.replay&target=x"])
def test_it_is_not_found_when_the_url_names_nothing(query: str, signed_in: SignedIn) -> None:
    client, _ = signed_in(None, Role.OPERATOR)
    assert client.get(f"{NEW}?{query}").status_code == 404
    assert client.post(f"{NEW}?{query}", {"reason": "x"}).status_code == 404


def test_it_says_why_when_it_cannot_be_asked_for(tenant: Tenant, signed_in: SignedIn) -> None:
    client, _ = signed_in(tenant, Role.OPERATOR)
    delivery = DeliveryFactory(dead=True, subscription__endpoint__tenant=tenant)
    assert "Nobody need approve it" in text_of(client.get(f"{NEW}?kind=delivery.replay&target={delivery.pk}"), 409)


def test_reason_is_asked_for_again_when_it_says_nothing(tenant: Tenant, signed_in: SignedIn) -> None:
    client, _ = signed_in(tenant, Role.OPERATOR)
    delivery = of(tenant)
    assert "Say why" in text_of(client.post(f"{NEW}?kind=delivery.replay&target={delivery.pk}", {"reason": ""}))
    assert not Approval.objects.exists()


# --- Decide ---


def test_it_is_rejected_with_a_reason(tenant: Tenant, signed_in: SignedIn) -> None:
    client, _ = signed_in(tenant, Role.APPROVER)
    approval = asked(REPLAY, of(tenant).pk, operator(tenant))
    assert "Say why" in text_of(client.post(f"{LIST}/{approval.pk}/reject", {"reason": " "}))
    assert "Rejected; nothing was done." in text_of(
        client.post(f"{LIST}/{approval.pk}/reject", {"reason": "Not yet."}, follow=True)
    )
    assert "not waiting any more" in text_of(client.post(f"{LIST}/{approval.pk}/approve", {"reason": "Yes."}))


def test_it_is_withdrawn_by_who_asked(tenant: Tenant, signed_in: SignedIn) -> None:
    client, user = signed_in(tenant, Role.OPERATOR)
    approval = asked(REPLAY, of(tenant).pk, of_user(user))
    assert "Withdrawn" in text_of(client.post(f"{LIST}/{approval.pk}/withdraw", follow=True))


def test_it_says_so_when_it_is_not_possible_any_more(tenant: Tenant, signed_in: SignedIn) -> None:
    client, _ = signed_in(tenant, Role.APPROVER)
    delivery = of(tenant)
    approval = asked(REPLAY, delivery.pk, operator(tenant))
    Delivery.objects.update(replays=3)
    told = text_of(client.post(f"{LIST}/{approval.pk}/approve", {"reason": "Yes."}, follow=True))
    assert "not possible any more: It was replayed meanwhile." in told


@pytest.mark.parametrize("action", ["approve", "reject", "withdraw"])
def test_who_may_not_decide_is_refused(tenant: Tenant, signed_in: SignedIn, action: str) -> None:
    approval = asked(REPLAY, of(tenant).pk, operator(tenant))
    client, _ = signed_in(tenant, Role.OPERATOR)
    assert client.post(f"{LIST}/{approval.pk}/{action}", {"reason": "Yes."}).status_code == 403
    approval.refresh_from_db()
    assert approval.state == "requested"


def test_strangers_find_nothing(tenant: Tenant, signed_in: SignedIn) -> None:
    delivery = of(tenant)
    approval = asked(REPLAY, delivery.pk, operator(tenant))
    client, _ = signed_in(TenantFactory(), Role.OPERATOR, Role.APPROVER)
    assert client.get(f"{LIST}/{approval.pk}").status_code == 404
    assert client.post(f"{LIST}/{approval.pk}/approve", {"reason": "x"}).status_code == 404
    assert client.get(f"{NEW}?kind=delivery.replay&target={delivery.pk}").status_code == 404
    shown = text_of(client.get(LIST))
    assert tenant.slug not in shown
    assert "No approvals yet" in shown
    assert client.get(f"{LIST}/{uuid4()}").status_code == 404
    assert client.post(f"{LIST}/{approval.pk}/explode").status_code == 404


# --- List ---


def test_what_waits_stands_first_and_is_counted_in_the_header(
    tenant: Tenant, signed_in: SignedIn, django_assert_num_queries: Any
) -> None:
    client, me = signed_in(tenant, Role.APPROVER, Role.OPERATOR)
    over = asked(REPLAY, of(tenant).pk, operator(tenant))
    service.withdraw(over.pk, of_user(over.requested_by_user))  # type: ignore[arg-type]
    now = timezone.now()
    late = asked(REPLAY, of(tenant).pk, operator(tenant), now=now - timedelta(days=2))
    waiting = [asked(REPLAY, of(tenant).pk, operator(tenant)) for _ in range(2)]
    own = asked(REPLAY, of(tenant).pk, of_user(me))
    with django_assert_num_queries(LIST_QUERIES):
        shown = text_of(client.get(LIST))
    assert re.findall(r'data-row="([^"]+)"', shown) == [str(row.pk) for row in (*waiting, own, over)]
    assert str(late.pk) not in shown, "overdue, and not swept yet"
    assert "2<span" in shown, "one's own do not wait for oneself"
    with django_assert_num_queries(PAGE_QUERIES):
        text_of(client.get(f"{LIST}/{own.pk}"))


def test_filters_live_in_the_url_and_can_be_removed(tenant: Tenant, signed_in: SignedIn) -> None:
    client, _ = signed_in(None, Role.VIEWER)
    mine, other = asked(REPLAY, of(tenant).pk, operator(tenant)), asked(REPLAY, escalated().pk, operator(None))
    shown = text_of(client.get(f"{LIST}?state=requested&tenant={tenant.slug}&kind=nonsense"))
    assert str(mine.pk) in shown
    assert str(other.pk) not in shown
    assert f'href="{LIST}?tenant={tenant.slug}"' in shown
    cleaned = client.get(f"{LIST}?state=&kind=&tenant={tenant.slug}")
    assert cleaned.headers["Location"] == f"{LIST}?tenant={tenant.slug}"
    assert "Nothing fits these filters" in text_of(client.get(f"{LIST}?state=failed"))


def test_list_goes_on_by_key(tenant: Tenant, signed_in: SignedIn) -> None:
    client, _ = signed_in(tenant, Role.VIEWER)
    rows = [
        Approval.objects.create(
            tenant=tenant, kind=REPLAY, target=f"delivery:{uuid4()}", state="expired", expires_at=timezone.now()
        )
        for _ in range(52)
    ]
    first = text_of(client.get(f"{LIST}?state=expired"))
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older is not None
    shown = text_of(client.get(older[1].replace("&amp;", "&")))
    assert re.findall(r'data-row="([^"]+)"', shown) == [str(row.pk) for row in reversed(rows[:2])]


def test_work_order_can_be_opened_from_it(tenant: Tenant, signed_in: SignedIn) -> None:
    client, _ = signed_in(tenant, Role.OPERATOR)
    approval = asked(REPLAY, of(tenant).pk, operator(tenant))
    new = f"/console/work-orders/new?approval={approval.pk}"
    assert new in text_of(client.get(f"{LIST}/{approval.pk}"))
    client.post(new, {"title": "Look after it", "severity": "warning"})
    order = WorkOrder.objects.get()
    assert f"/console/work-orders/{order.pk}" in text_of(client.get(f"{LIST}/{approval.pk}"))


def test_nobody_is_let_in_without_signing_in() -> None:
    for page in (LIST, NEW, f"{LIST}/{uuid4()}"):
        assert Client().get(page).status_code == 302


def test_list_polls_its_live_part_and_offers_the_decision_to_who_may_decide(
    signed_in: SignedIn, tenant: Tenant
) -> None:
    asked(REPLAY, of(tenant).pk, operator(tenant))
    approver, _ = signed_in(tenant, Role.APPROVER)
    live = text_of(approver.get(LIST, headers={"HX-Request": "true", "HX-Target": "live"}))
    assert live.strip().startswith('<div id="live"')
    assert "data-poll" in live
    assert "Decide…" in live
    viewer, _ = signed_in(tenant, Role.VIEWER)
    assert "Decide…" not in text_of(viewer.get(LIST))
