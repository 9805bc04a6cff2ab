"""The sweep's part: bad news become an entry of the trail and one work order an endpoint."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEntry
from delivery.health.endpoints import disable_gone
from delivery.models import Alert, Delivery, Escalation, WorkOrder
from delivery.sweep import Sweeper
from delivery.work_orders import by_rule, service
from subscriptions.services import resume
from tests.delivery.approvals.desk import actions, escalated
from tests.delivery.replays.desk import ACTOR
from tests.factories import EndpointFactory, SubscriptionFactory

pytestmark = pytest.mark.django_db


def deaths(count: int) -> list[Delivery]:
    """Of one endpoint."""
    subscription = SubscriptionFactory()
    return [escalated(subscription=subscription) for _ in range(count)]


def test_escalated_deaths_are_in_the_trail_and_have_one_work_order() -> None:
    rows = deaths(3)
    now = timezone.now()
    assert by_rule.notice(now) == 3
    assert by_rule.notice(now) == 0
    order = WorkOrder.objects.get()
    endpoint = rows[0].endpoint
    assert (order.tenant, order.origin, order.cause) == (rows[0].tenant, "rule", f"endpoint:{endpoint.pk}")
    assert (order.severity, order.opened_by) == ("critical", "system:sweep")
    assert str(endpoint) in order.title
    assert set(order.links.values_list("kind", "target_id")) == {("delivery", row.pk) for row in rows}
    entry = AuditEntry.objects.get(action="delivery.escalated")
    assert (entry.chain, entry.target) == (rows[0].tenant.slug, f"endpoint:{endpoint.pk}")
    assert entry.details == {
        "count": 3,
        "deliveries": sorted(str(row.pk) for row in rows),
        "causes": ["paged"],
    }


def test_more_news_of_an_endpoint_are_linked_to_its_open_one() -> None:
    first = deaths(1)[0]
    by_rule.notice(timezone.now())
    escalated(subscription=first.subscription)
    by_rule.notice(timezone.now())
    assert WorkOrder.objects.get().links.count() == 2
    assert actions() == ["work_order.opened", "delivery.escalated", "delivery.escalated"]


def test_endpoint_that_the_system_disabled_has_a_work_order_once() -> None:
    endpoint = EndpointFactory()
    assert disable_gone(endpoint.pk, uuid4())
    escalated(subscription=SubscriptionFactory(endpoint=endpoint))
    by_rule.notice(timezone.now())
    order = WorkOrder.objects.get()
    assert order.title == f"{endpoint} was disabled by the system"
    assert set(order.links.values_list("kind", flat=True)) == {"alert", "delivery"}
    service.close(order.pk, "fixed_by_them", "", ACTOR)
    by_rule.notice(timezone.now())
    assert WorkOrder.objects.count() == 1, "of the same alert nobody is told twice"
    assert resume(endpoint, ACTOR, approved=True)
    Alert.objects.update(state="resolved", resolved_at=timezone.now())
    assert disable_gone(endpoint.pk, uuid4())
    by_rule.notice(timezone.now())
    assert WorkOrder.objects.count() == 2


def test_no_work_order_is_opened_when_the_rules_are_off(settings: Settings) -> None:
    settings.WORK_ORDERS_BY_RULE = False
    deaths(1)
    disable_gone(EndpointFactory().pk, uuid4())
    by_rule.notice(timezone.now())
    assert not WorkOrder.objects.exists()
    assert "delivery.escalated" in actions()
    assert not Escalation.objects.filter(noticed_at=None).exists()


def test_alerts_of_another_kind_open_nothing() -> None:
    Alert.objects.create(kind="endpoint.failing", dedup_key="x", summary="…", tenant_id=1, endpoint_id=1)
    assert by_rule.notice(timezone.now()) == 0
    assert not WorkOrder.objects.exists()


@pytest.mark.usefixtures("empty_queues")
def test_sweep_notices() -> None:
    deaths(1)
    Sweeper().sweep(timezone.now())
    assert WorkOrder.objects.count() == 1
