"""A tenant with one of everything that the API shows, and who asks: for tests that walk all operations."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.test import Client

from delivery.models import ApprovalKind, WorkOrder
from delivery.replays import service
from delivery.replays.criteria import Criteria
from eventcenter.access.roles import Permission, Role
from eventcenter.models import ApiKey, EventType
from subscriptions.models import Tenant
from tests.delivery.approvals.desk import asked, disabled_by_system, operator
from tests.delivery.replays.desk import ACTOR
from tests.factories import (
    ApiKeyFactory,
    AttemptFactory,
    DeliveryFactory,
    EndpointFactory,
    EndpointSecretFactory,
    RejectedEventFactory,
    SubscriptionFactory,
    SuperuserFactory,
    TenantFactory,
    UserFactory,
    text_of,
)

Headers = dict[str, str]
NOBODY_THERE = "http://127.0.0.1:9/hook?token=s3cret"  # discard: refused at once


@dataclass(frozen=True)
class Stage:
    """`known`: a path's parameter, after the room that it stands in → the id of an object that there is."""

    tenant: Tenant
    known: dict[str, str]


def staged() -> Stage:
    """The event types are registered. What is sent to its endpoint is refused on loopback."""
    tenant = TenantFactory(slug="acme")
    endpoint = EndpointFactory(tenant=tenant, slug="ci-cd", url=NOBODY_THERE)
    secret = EndpointSecretFactory(endpoint=endpoint)
    subscription = SubscriptionFactory(
        endpoint=endpoint, slug="releases", filters=[{"prefix": {"subject": "payments-"}}], managed_by="yaml"
    )
    delivery = DeliveryFactory(subscription=subscription, dead=True)
    AttemptFactory(delivery=delivery, refused=True)
    replay = service.draft(Criteria(tenant_id=tenant.pk), ACTOR)
    approval = asked(ApprovalKind.ENDPOINT_RESUME, disabled_by_system(tenant).pk, operator(tenant))
    order = WorkOrder.objects.create(tenant=tenant, title="Look", opened_by="user:eva")
    known = {
        "endpoints": endpoint.pk,
        "secrets": secret.pk,
        "subscriptions": subscription.pk,
        "deliveries": delivery.pk,
        "events": delivery.event_id,
        "replays": replay.pk,
        "approvals": approval.pk,
        "work-orders": order.pk,
        "api-keys": ApiKeyFactory(tenant=tenant).key_id,
        "event-types": EventType.objects.order_by("pk").values_list("pk", flat=True)[0],
        "rejected-events": RejectedEventFactory(tenant_slug="acme", value=b"\xff\0{}").pk,
    }
    return Stage(tenant, {room: str(pk) for room, pk in known.items()})


def admin_key(tenant: Tenant) -> Headers:
    return _bearer(ApiKeyFactory(tenant=tenant))


def viewer_key(tenant: Tenant) -> Headers:
    return _bearer(ApiKeyFactory(tenant=tenant, scopes=[Permission.VIEW.value]))


def platform_admin(tenant: Tenant) -> Headers:
    return _session(Client(), SuperuserFactory())


def viewer(tenant: Tenant) -> Headers:
    return _session(Client(), UserFactory(roles=[(tenant, Role.VIEWER)]))


def nobody(tenant: Tenant) -> Headers:
    return {}


def _bearer(key: ApiKey) -> Headers:
    return {"Authorization": f"Bearer {text_of(key)}"}


def _session(client: Client, user: object) -> Headers:
    """With the CSRF token, as a page of ours would send it."""
    client.force_login(user)  # type: ignore[arg-type]
    token = "a" * 32
    cookies = {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value, "csrftoken": token}
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()), "X-CSRFToken": token}
