"""Rows for every page of the admin, by its model: from the model's factory, or made here.

A new page of a model that has neither fails tests.admin.test_every_page with its name.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group
from django.db.models import Model
from django.utils import timezone
from factory.django import DjangoModelFactory

from audit.trail import Actor, record
from delivery.alerting.contacts import seal_routing_key
from delivery.models import (
    Alert,
    AlertContact,
    AlertRule,
    Approval,
    Breaker,
    Escalation,
    FeedItem,
    ReplayJob,
    WorkOrder,
    WorkOrderComment,
)
from delivery.replays.criteria import Criteria
from delivery.replays.service import draft
from eventcenter.access.models import Membership
from eventcenter.access.roles import Role
from eventcenter.models import EventType, FeatureFlag
from tests import factories
from tests.factories import DeliveryFactory, EndpointFactory, TenantFactory, UserFactory

ACTOR = Actor("user:rows")
numbers = count(1)


def alert() -> Model:
    endpoint, number = EndpointFactory(), next(numbers)
    about = {"tenant_id": endpoint.tenant_id, "endpoint_id": endpoint.pk}
    return Alert.objects.create(kind="endpoint.failing", dedup_key=f"k{number}", summary=f"{number}", **about)


def alert_rule() -> Model:
    values = {"threshold": 0.05, "clear_below": 0.025, "window_s": 300}
    return AlertRule.objects.create(kind="failure_rate", tenant=TenantFactory(), **values)


def alert_contact() -> Model:
    """By PagerDuty: a mail contact's form takes a mail server that is set."""
    key = seal_routing_key("R0123456789abcdef0123456789abcde")
    about = {"name": f"contact {next(numbers)}", "channel": "pagerduty", "sealed_routing_key": key}
    return AlertContact.objects.create(tenant=TenantFactory(), **about)


def breaker() -> Model:
    endpoint = EndpointFactory()
    return Breaker.objects.create(endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id, state="open", reason="broke")


def feed_item() -> Model:
    row = DeliveryFactory()
    about = {"tenant": row.tenant, "endpoint": row.endpoint, "event_id": row.event_id}
    return FeedItem.objects.create(id=row.pk, type=row.event.type, subject=row.event.subject, summary="s", **about)


def escalation() -> Model:
    row = DeliveryFactory(dead=True)
    about = {"tenant": row.tenant, "endpoint_id": row.endpoint_id, "replays": 0, "cause": "paged"}
    return Escalation.objects.create(delivery_id=row.pk, at=timezone.now(), noticed_at=timezone.now(), **about)


def approval() -> Model:
    row = DeliveryFactory(dead=True)
    return Approval.objects.create(
        tenant=row.tenant,
        kind="delivery.replay",
        target=f"delivery:{row.pk}",
        summary="replay",
        reason="why",
        requested_by="user:eva",
        expires_at=timezone.now() + timedelta(days=1),
    )


def work_order() -> Model:
    tenant = TenantFactory()
    made = WorkOrder.objects.create(tenant=tenant, title="order", body="why", opened_by="user:eva")
    for _ in range(3):
        WorkOrderComment.objects.create(tenant=tenant, work_order=made, author="user:eva", text="seen")
    return made


def membership() -> Model:
    person, tenant = UserFactory(roles=()), TenantFactory()
    return Membership.objects.create(user=person, tenant=tenant, role=Role.OPERATOR)


def feature_flag() -> Model:
    made = FeatureFlag.objects.create(name=f"flag-{next(numbers)}")
    made.tenants.add(TenantFactory())
    return made


MAKERS: dict[type[Model], Callable[[], Model]] = {
    Alert: alert,
    AlertContact: alert_contact,
    AlertRule: alert_rule,
    Approval: approval,
    Breaker: breaker,
    Escalation: escalation,
    EventType: lambda: EventType.objects.create(name=f"a.b{next(numbers)}", version=1, schema={"type": "object"}),
    FeatureFlag: feature_flag,
    FeedItem: feed_item,
    Group: lambda: Group.objects.create(name=f"group {next(numbers)}"),
    Membership: membership,
    ReplayJob: lambda: draft(Criteria(tenant_id=TenantFactory().pk), ACTOR, reason="why"),
    WorkOrder: work_order,
    apps.get_model("audit.AuditEntry"): lambda: record(
        TenantFactory().slug, ACTOR, "endpoint.paused", "endpoint:1", {}
    ),
}


def maker_of(model: type[Model]) -> Callable[[], Any]:
    if model in MAKERS:
        return MAKERS[model]
    found = [
        made
        for made in vars(factories).values()
        if isinstance(made, type) and issubclass(made, DjangoModelFactory) and made._meta.model is model
    ]
    assert found, f"{model._meta.label} has an admin page: give it a factory, or a maker in tests/admin/rows.py"
    return found[0]
