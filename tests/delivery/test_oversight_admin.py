"""Escalations, approvals and work orders in the admin: to be seen, by their tenants, and by nobody changed."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from delivery.alerts import raise_alert
from delivery.models import AlertSeverity, ApprovalKind, Escalation, LinkKind
from delivery.work_orders import service
from delivery.work_orders.rules import Draft
from eventcenter.access.roles import Role
from subscriptions.models import Tenant
from tests.delivery.approvals.desk import asked, escalated, operator
from tests.delivery.replays.desk import ACTOR
from tests.factories import TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
PAGES = ("escalation", "approval", "workorder")


def fill(tenant: Tenant) -> dict[str, object]:
    """One row of each for the tenant, by the page that shows it."""
    delivery = escalated(subscription__endpoint__tenant=tenant)
    approval = asked(ApprovalKind.DELIVERY_REPLAY, delivery.pk, operator(tenant))
    order = service.open_by_hand(Draft(tenant.pk, "Look", links=((LinkKind.APPROVAL, approval.pk),)), ACTOR).order
    assert order is not None
    service.comment(order.pk, "They are told.", ACTOR)
    return {"escalation": delivery.pk, "approval": approval.pk, "workorder": order.pk}


def staff(tenant: Tenant) -> Client:
    client = Client()
    client.force_login(UserFactory(roles=[(tenant, Role.TENANT_ADMIN)]))
    return client


@pytest.mark.parametrize("page", PAGES)
def test_rows_are_shown_to_their_tenant_alone_and_cannot_be_changed(
    page: str, django_assert_max_num_queries: Any
) -> None:
    tenant, other = TenantFactory(), TenantFactory()
    keys, foreign = fill(tenant), fill(other)
    client = staff(tenant)
    listing = reverse(f"admin:delivery_{page}_changelist")
    with django_assert_max_num_queries(14) as one:
        shown = client.get(listing).content.decode()
    assert str(keys[page]) in shown
    assert str(foreign[page]) not in shown
    fill(tenant)
    with django_assert_max_num_queries(len(one.captured_queries)):
        assert client.get(listing).status_code == 200
    detail = reverse(f"admin:delivery_{page}_change", args=[keys[page]])
    assert client.get(detail).status_code == 200
    assert client.post(detail, {}).status_code == 403
    assert client.get(reverse(f"admin:delivery_{page}_change", args=[foreign[page]])).status_code == 302
    assert client.get(reverse(f"admin:delivery_{page}_add")).status_code == 403


def test_comments_stand_with_their_work_order() -> None:
    tenant = TenantFactory()
    keys = fill(tenant)
    shown = staff(tenant).get(reverse("admin:delivery_workorder_change", args=[keys["workorder"]])).content.decode()
    assert "They are told." in shown


def test_alert_leads_to_a_work_order() -> None:
    tenant = TenantFactory()
    row = Escalation.objects.get(pk=fill(tenant)["escalation"])
    raise_alert("x", "x", AlertSeverity.WARNING, "It fails.", row.at, tenant_id=tenant.pk)
    shown = staff(tenant).get(reverse("admin:delivery_alert_changelist")).content.decode()
    assert "/console/work-orders/new?alert=" in shown
