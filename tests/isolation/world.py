"""A tenant with a row in every table of ours that can hold a tenant's, each text of it marked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.apps import apps
from django.db import connection
from django.db.models import AutoField, Model
from django.utils import timezone

from audit.models import AuditHead
from audit.trail import Actor, record
from delivery.models import (
    Alert,
    AlertContact,
    AlertRule,
    Approval,
    Breaker,
    Delivery,
    DeliveryCounter,
    DeliveryHour,
    DuplicateSend,
    Escalation,
    FeedItem,
    Incident,
    OrderedDelivery,
    Page,
    WorkOrder,
    WorkOrderComment,
    WorkOrderLink,
)
from delivery.replays.criteria import Criteria
from delivery.replays.service import draft
from eventcenter.access.models import Membership
from eventcenter.access.roles import Role
from eventcenter.models import AdapterCount, Event, FeatureFlag, OutboxMessage, PublishRefusalCounter
from subscriptions.models import AppliedSpec, Endpoint, Subscription, Tenant
from tests.factories import (
    AdapterFactory,
    ApiKeyFactory,
    AttemptFactory,
    DeliveryFactory,
    EndpointFactory,
    EndpointSecretFactory,
    PublishKeyFactory,
    RejectedEventFactory,
    SubscriptionFactory,
    TenantFactory,
    UserFactory,
)

MARK = "qzxw"
MARKED = re.compile(rf"{MARK}[a-z0-9-]*")

Rows = dict[type[Model], list[Model]]


def build(mark: str = MARK) -> Rows:
    """Every row of the tenant, by model."""
    tenant = TenantFactory(slug=f"{mark}-acme", name=f"{mark} Acme")
    actor = Actor(f"user:{mark}-person")
    endpoint = EndpointFactory(tenant=tenant, slug=f"{mark}-sink", name=f"{mark} sink", url=f"https://{mark}.example/h")
    subscription = SubscriptionFactory(endpoint=endpoint, slug=f"{mark}-releases", tags=[f"{mark}-tag"])
    rows: list[Model] = [tenant, endpoint, subscription, *_identities(tenant, endpoint, mark)]
    rows += _traffic(subscription, mark)
    rows += _operations(tenant, endpoint, actor, mark)
    return by_model(rows)


def _identities(tenant: Tenant, endpoint: Endpoint, mark: str) -> Iterator[Model]:
    yield EndpointSecretFactory(endpoint=endpoint)
    yield PublishKeyFactory(tenant=tenant, key_id=f"pk_{mark}", name=f"{mark} pipeline")
    yield ApiKeyFactory(tenant=tenant, key_id=f"ak_{mark}", name=f"{mark} dashboard")
    person = UserFactory(username=f"{mark}-person", email=f"{mark}@example.com", roles=((tenant, Role.OPERATOR),))
    yield Membership.objects.get(user=person)
    FeatureFlag.objects.get(name="audit-streaming").tenants.add(tenant)
    yield AppliedSpec.objects.create(tenant=tenant, kind="endpoint", slug=endpoint.slug, values={"name": endpoint.name})
    adapter = AdapterFactory(tenant=tenant, name=f"{mark} forge")
    yield adapter
    yield AdapterCount.objects.create(
        adapter=adapter, tenant=tenant, minute=timezone.now(), outcome="accepted", reason="", count=7_777
    )
    yield FeatureFlag.tenants.through.objects.get(tenant=tenant)


def _traffic(subscription: Subscription, mark: str) -> Iterator[Model]:
    for state in ({"dead": True}, {"delivered": True}, {"retrying": True}, {}):
        delivery = DeliveryFactory(
            subscription=subscription,
            event__subject=f"{mark}-plugin",
            event__source=f"/{mark}/pipeline",
            event__tags=[f"{mark}-tag"],
            event__traceparent=f"00-{uuid4().hex}-b7ad6b7169203331-01",
            **state,
        )
        yield delivery
        yield delivery.event
        if state:
            yield AttemptFactory(delivery=delivery, response_body=f"{mark} answered".encode(), error=f"{mark} error")
    yield OrderedDelivery.objects.create(
        order_key=UUID(int=7), subscription_id=subscription.pk, delivery_id=delivery.pk
    )
    yield RejectedEventFactory(tenant_slug=subscription.tenant.slug, detail=f"{mark} detail", value=mark.encode())
    yield OutboxMessage.objects.create(
        id=UUID(int=9), key=f"{subscription.tenant.slug}|x", body=f'{{"{mark}": 1}}'.encode()
    )


def _operations(tenant: Tenant, endpoint: Endpoint, actor: Actor, mark: str) -> Iterator[Model]:
    now = timezone.now()
    yield draft(Criteria(tenant_id=tenant.pk), actor, reason=f"{mark} reason")
    yield FeedItem.objects.create(
        id=Delivery.objects.filter(tenant=tenant).earliest("pk").pk,
        tenant=tenant,
        endpoint=endpoint,
        event_id=Event.objects.filter(tenant=tenant).earliest("pk").pk,
        type="plugin.release.published",
        subject=f"{mark}-plugin",
        summary=f"{mark} summary",
    )
    yield Breaker.objects.create(
        endpoint_id=endpoint.pk, tenant_id=tenant.pk, state="open", reason=f"{mark} why", failing_since=now
    )
    incident = Incident.objects.create(
        tenant_id=tenant.pk, cause=f"{mark}-cause", severity="warning", summary=f"{mark} is failing"
    )
    yield incident
    yield Alert.objects.create(
        kind="endpoint.failing",
        incident=incident,
        dedup_key=f"{mark}-key",
        tenant_id=tenant.pk,
        endpoint_id=endpoint.pk,
        summary=f"{mark} is failing",
    )
    yield DeliveryCounter.objects.create(
        minute=now.replace(second=0, microsecond=0),
        endpoint_id=endpoint.pk,
        shard=1,
        tenant_id=tenant.pk,
        delivered=7_777_777,
    )
    yield from _alerting(tenant, endpoint, incident, mark)
    yield from _oversight(tenant, endpoint, mark)
    yield record(tenant.slug, actor, "endpoint.paused", f"endpoint:{endpoint.pk}", {"reason": f"{mark} reason"})
    signed = {"position": 1, "digest": b"d" * 32, "key_id": f"{mark}-head", "signature": b"s" * 64}
    yield AuditHead.objects.create(chain=tenant.slug, at=now, **signed)


def _alerting(tenant: Tenant, endpoint: Endpoint, incident: Incident, mark: str) -> Iterator[Model]:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    counted = {"endpoint_id": endpoint.pk, "tenant_id": tenant.pk}
    yield DeliveryHour.objects.create(hour=hour, delivered=7_777_777, **counted)
    yield DuplicateSend.objects.create(
        delivery_id=Delivery.objects.filter(tenant=tenant).earliest("pk").pk,
        cause="late",
        dispatch_id=1,
        token=1,
        worker=f"{mark}:1",
        **counted,
    )
    yield PublishRefusalCounter.objects.create(
        minute=hour, tenant_id=tenant.pk, reason="mismatch", shard=1, count=7_777_777
    )
    yield AlertRule.objects.create(
        kind="failure_rate",
        tenant=tenant,
        threshold=0.07,
        clear_below=0.07,
        window_s=300,
        mute_reason=f"{mark} is being moved",
    )
    contact = AlertContact.objects.create(
        tenant=tenant, name=f"{mark} on call", channel="email", address=f"{mark}-on-call@example.com"
    )
    yield contact
    yield Page.objects.create(
        tenant_id=tenant.pk,
        incident=incident,
        contact=contact,
        action="trigger",
        body={"summary": f"{mark} is failing"},
    )


def _oversight(tenant: Tenant, endpoint: Endpoint, mark: str) -> Iterator[Model]:
    now, delivery = timezone.now(), Delivery.objects.filter(tenant=tenant, status="dead").earliest("pk")
    yield Escalation.objects.create(
        delivery_id=delivery.pk,
        tenant=tenant,
        endpoint_id=endpoint.pk,
        replays=0,
        cause="paged",
        at=now,
        noticed_at=now,
    )
    yield Approval.objects.create(
        tenant=tenant,
        kind="delivery.replay",
        target=f"delivery:{delivery.pk}",
        summary=f"{mark} replay",
        reason=f"{mark} reason",
        requested_by=f"user:{mark}-person",
        expires_at=now + timedelta(days=1),
    )
    order = WorkOrder.objects.create(tenant=tenant, title=f"{mark} order", body=f"{mark} body", opened_by="user:x")
    yield order
    yield WorkOrderComment.objects.create(tenant=tenant, work_order=order, author="user:x", text=f"{mark} comment")
    yield WorkOrderLink.objects.create(tenant=tenant, work_order=order, kind="delivery", target_id=delivery.pk)


def by_model(rows: list[Model]) -> Rows:
    found: Rows = {}
    for row in rows:
        found.setdefault(type(row), []).append(row)
    return found


def number_apart() -> None:
    """From here on each table counts from a number of its own: no row's number is another row's elsewhere."""
    with connection.cursor() as cursor:
        for place, model in enumerate(sorted(tenant_models(), key=lambda model: model._meta.label), 1):
            if isinstance(model._meta.pk, AutoField):
                sequence = (model._meta.db_table, model._meta.pk.column)
                cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", sequence)
                cursor.execute(
                    "SELECT setval(%s, greatest(nextval(%s), %s))", [*cursor.fetchone() * 2, place * 1_000_000]
                )


def tenant_models() -> set[type[Model]]:
    """The models whose rows are somebody's: those under row-level security."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relrowsecurity")
        protected = {row[0] for row in cursor.fetchall()}
    return {model for model in apps.get_models(include_auto_created=True) if model._meta.db_table in protected}


def tokens(rows: Rows) -> set[str]:
    """What must not appear anywhere else: the marked words, and the UUIDs."""
    found: set[str] = set()
    for group in rows.values():
        for row in group:
            for field in row._meta.concrete_fields:
                found |= set(_words(getattr(row, field.attname)))
    return found


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, UUID):
        if value.int > 1 << 64:  # ours; the small ones above are only to fill a column
            yield str(value)
            yield value.hex
    elif isinstance(value, bytes | memoryview):
        yield from MARKED.findall(bytes(value).decode("utf-8", "replace"))
    elif isinstance(value, str):
        yield from MARKED.findall(value)
    elif isinstance(value, dict | list):
        yield from MARKED.findall(json.dumps(value))


def snapshot(rows: Rows) -> dict[str, list[str]]:
    """Every stored value of these rows as it is now; a vanished one is missing."""
    return {
        model._meta.label: sorted(
            repr(values) for values in model._default_manager.filter(pk__in=[row.pk for row in group]).values_list()
        )
        for model, group in rows.items()
    }
