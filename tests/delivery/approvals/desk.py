"""What tests of approvals use: people with roles, deaths that called somebody, and drafts that are too large."""

from __future__ import annotations

from typing import Any

import factory
from django.utils import timezone

from audit.models import AuditEntry
from delivery.approvals import service
from delivery.models import Approval, ApprovalKind, Delivery, Escalation, ReplayJob
from delivery.replays import service as replays
from delivery.replays.criteria import Criteria
from eventcenter.access.principal import Principal, of_user
from eventcenter.access.roles import Role
from subscriptions.models import Endpoint, EndpointState, Tenant
from tests.delivery.replays.desk import ACTOR, many_dead
from tests.factories import DeliveryFactory, EndpointFactory, UserFactory


def person(tenant: Tenant | None, *roles: Role, **user: Any) -> Principal:
    """Somebody with those roles in the tenant; None: in all. They cannot sign in: a password's hash takes its time."""
    values = {"password": factory.Transformer.Force("!")} | user
    return of_user(UserFactory(roles=[(tenant, role) for role in roles], **values), "192.0.2.1")


def operator(tenant: Tenant | None) -> Principal:
    return person(tenant, Role.OPERATOR)


def approver(tenant: Tenant | None) -> Principal:
    return person(tenant, Role.APPROVER)


def escalate(delivery: Delivery, cause: str = "paged", replays: int | None = None) -> Delivery:
    Escalation.objects.create(
        delivery_id=delivery.pk,
        tenant_id=delivery.tenant_id,
        endpoint_id=delivery.endpoint_id,
        replays=delivery.replays if replays is None else replays,
        cause=cause,
        at=timezone.now(),
    )
    return delivery


def escalated(**values: Any) -> Delivery:
    """A dead delivery whose death called a person."""
    return escalate(DeliveryFactory(**{"dead": True} | values))


def disabled_by_system(tenant: Tenant | None = None) -> Endpoint:
    values = {"tenant": tenant} if tenant else {}
    endpoint: Endpoint = EndpointFactory(
        state=EndpointState.DISABLED, state_reason="It took nothing.", disabled_by_system=True, **values
    )
    return endpoint


def draft(count: int = 3) -> ReplayJob:
    rows = many_dead(count)
    return replays.draft(Criteria(endpoint_id=rows[0].endpoint_id), ACTOR)


def asked(kind: ApprovalKind, target_id: object, asker: Principal, **more: Any) -> Approval:
    found = service.ask(kind, str(target_id), asker, "The receiver is back.", **more)
    assert found.approval is not None, found.refusal
    return found.approval


def actions() -> list[str]:
    """Of the trail, without what drafts and alerts write there."""
    entries = AuditEntry.objects.exclude(action__in=("replay.drafted", "alert.raised"))
    return list(entries.order_by("pk").values_list("action", flat=True))
