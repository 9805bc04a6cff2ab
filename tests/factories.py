"""Objects that are valid by default. A delivery comes with its event, subscription and endpoint, all of one tenant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import factory
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.utils import timezone
from factory.django import DjangoModelFactory

from delivery.models import Attempt, Delivery
from delivery.states import DeliveryStatus
from eventcenter.access.roles import KEY_SCOPES, Role
from eventcenter.crypto import seal
from eventcenter.ids import derived_id, id_floor, new_id
from eventcenter.models import Adapter, AdapterKind, ApiKey, Event, Membership, PublishKey, RejectedEvent, RejectReason
from eventcenter.standardwebhooks import generate_secret
from subscriptions.models import Endpoint, EndpointSecret, Subscription, Tenant

EVERYWHERE = ((None, Role.OPERATOR), (None, Role.TENANT_ADMIN))  # what a member of staff is by default
PASSWORD = "correct horse battery staple"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def event_id_at(at: datetime) -> UUID:
    """A fresh UUIDv7 of that moment: events, and with them deliveries, are dated by their ids."""
    return UUID(int=id_floor(at).int | (new_id().int & ((1 << 80) - 1)))


def _after(seconds: float) -> factory.LazyAttribute:
    return factory.LazyAttribute(lambda row: row.accepted_at + timedelta(seconds=seconds))


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = get_user_model()
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user-{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.com")
    password = factory.django.Password(PASSWORD)
    is_staff = True

    @factory.post_generation
    def roles(self: User, create: bool, given: Sequence[tuple[Tenant | None, Role]] | None, **kwargs: object) -> None:
        """(tenant, role) pairs; a tenant of None is the whole platform."""
        for tenant, role in EVERYWHERE if given is None else given:
            Membership.objects.create(user=self, tenant=tenant, role=role)


class SuperuserFactory(UserFactory):
    is_superuser = True


class ApiKeyFactory(DjangoModelFactory[ApiKey]):
    """`secret`: the part of which the digest is kept; `text_of(key)` is what a program sends."""

    class Meta:
        model = ApiKey
        exclude = ("secret",)

    secret = "a-secret-that-only-tests-know"
    key_id = factory.Sequence(lambda n: f"ak_test{n}")
    tenant = factory.SubFactory("tests.factories.TenantFactory")
    name = "Dashboard"
    digest = factory.LazyAttribute(lambda made: hashlib.sha256(made.secret.encode()).digest())
    scopes = factory.LazyFunction(lambda: list(KEY_SCOPES))


def text_of(key: ApiKey) -> str:
    return f"{key.key_id}.{ApiKeyFactory.secret}"


class TenantFactory(DjangoModelFactory[Tenant]):
    class Meta:
        model = Tenant

    slug = factory.Sequence(lambda n: f"tenant-{n}")
    name = factory.LazyAttribute(lambda tenant: tenant.slug.replace("-", " ").title())


class EndpointFactory(DjangoModelFactory[Endpoint]):
    class Meta:
        model = Endpoint

    tenant = factory.SubFactory(TenantFactory)
    slug = factory.Sequence(lambda n: f"endpoint-{n}")
    url = factory.LazyAttribute(lambda endpoint: f"https://hooks.example.com/{endpoint.slug}")


class EndpointSecretFactory(DjangoModelFactory[EndpointSecret]):
    """`secret`: the text that is sealed."""

    class Meta:
        model = EndpointSecret
        exclude = ("secret",)

    secret = factory.LazyFunction(generate_secret)
    endpoint = factory.SubFactory(EndpointFactory)
    sealed_secret = factory.LazyAttribute(lambda made: seal(made.secret, EndpointSecret.SECRET_PURPOSE))


class SubscriptionFactory(DjangoModelFactory[Subscription]):
    class Meta:
        model = Subscription

    tenant = factory.SelfAttribute("endpoint.tenant")
    endpoint = factory.SubFactory(EndpointFactory)
    slug = factory.Sequence(lambda n: f"subscription-{n}")
    types = factory.List(["plugin.release.published"])


class PublishKeyFactory(DjangoModelFactory[PublishKey]):
    """`secret`: the text that is sealed."""

    class Meta:
        model = PublishKey
        exclude = ("secret",)

    secret = factory.LazyFunction(generate_secret)
    key_id = factory.Sequence(lambda n: f"pk_test_{n}")
    tenant = factory.SubFactory(TenantFactory)
    name = "Release pipeline"
    sealed_secret = factory.LazyAttribute(lambda made: seal(made.secret, PublishKey.SECRET_PURPOSE))


class AdapterFactory(DjangoModelFactory[Adapter]):
    """`secret`: the text that is sealed."""

    class Meta:
        model = Adapter
        exclude = ("secret",)

    secret = factory.LazyFunction(generate_secret)
    public_id = factory.Sequence(lambda n: f"ad_{n:032x}")
    tenant = factory.SubFactory(TenantFactory)
    kind = AdapterKind.GITHUB
    name = "Plugins on GitHub"
    sealed_secret = factory.LazyAttribute(lambda made: seal(made.secret, Adapter.SECRET_PURPOSE))


class EventFactory(DjangoModelFactory[Event]):
    """`accepted_at` dates the id; `version` goes into the data, too."""

    class Meta:
        model = Event
        exclude = ("accepted_at",)

    accepted_at = factory.LazyFunction(timezone.now)
    version = "2.4.1"
    id = factory.LazyAttribute(lambda event: event_id_at(event.accepted_at))
    tenant = factory.SubFactory(TenantFactory)
    type = "plugin.release.published"
    source = "/pipelines/release"
    subject = factory.Sequence(lambda n: f"payments-gateway-{n}")
    producer_id = factory.Sequence(lambda n: f"release-{n}")
    time = factory.SelfAttribute("accepted_at")
    tags = factory.LazyFunction(lambda: ["stable"])
    traceparent = f"00-{TRACE_ID}-b7ad6b7169203331-01"
    trace = factory.LazyAttribute(lambda event: UUID(event.traceparent[3:35]) if event.traceparent else None)
    idempotency_key = factory.LazyAttribute(lambda event: f"{event.source} {event.producer_id}")
    kafka_partition = 0
    kafka_offset = factory.Sequence(lambda n: n)
    ingested_at = factory.LazyAttribute(lambda event: event.accepted_at + timedelta(milliseconds=7))

    @factory.lazy_attribute
    def body(self) -> bytes:
        return json.dumps(
            {
                "specversion": "1.0",
                "id": self.producer_id,
                "source": self.source,
                "type": self.type,
                "subject": self.subject,
                "tenant": self.tenant.slug,
                "datacontenttype": "application/json",
                "data": release_data(self.subject, self.version, self.tenant.slug, self.accepted_at),
            }
        ).encode()


def release_data(plugin: str, version: str, tenant: str, at: datetime) -> dict[str, Any]:
    """The data of a plugin.release.published that its schema takes."""
    return {
        "plugin_id": plugin,
        "version": version,
        "channel": "stable",
        "tenant": tenant,
        "artifact": {"digest": "sha256:" + "9f" * 32, "url": f"https://artifacts.example.com/{plugin}/{version}.tgz"},
        "released_by": "eva.zhang@example.com",
        "released_at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }


class DeliveryFactory(DjangoModelFactory[Delivery]):
    """Pending by default; `delivered=True`, `dead=True` and `retrying=True` are the other states, after one attempt.

    `accepted_at` dates it. The attempts' own rows are AttemptFactory's.
    """

    class Meta:
        model = Delivery
        exclude = ("accepted_at",)

    class Params:
        tried = factory.Trait(attempts=1, tries=1)
        ended = factory.Trait(tried=True, finished_at=_after(0.2))
        delivered = factory.Trait(ended=True, status=DeliveryStatus.DELIVERED, last_status_code=200)
        refused = factory.Trait(tried=True, last_status_code=503, last_error_kind="http_status")
        dead = factory.Trait(
            refused=True,
            ended=True,
            status=DeliveryStatus.DEAD,
            dead_at=_after(0.2),
            dead_reason="spent",
        )
        retrying = factory.Trait(
            refused=True, status=DeliveryStatus.RETRYING, next_attempt_at=_after(300), due_at=_after(300)
        )

    accepted_at = factory.LazyFunction(timezone.now)
    subscription = factory.SubFactory(SubscriptionFactory)
    endpoint = factory.SelfAttribute("subscription.endpoint")
    tenant = factory.SelfAttribute("subscription.tenant")
    event = factory.SubFactory(
        EventFactory,
        tenant=factory.SelfAttribute("..subscription.tenant"),
        accepted_at=factory.SelfAttribute("..accepted_at"),
    )
    id = factory.LazyAttribute(lambda row: derived_id(row.event.id, row.subscription.pk))
    round_at = factory.LazyAttribute(lambda row: row.event.ingested_at)


class AttemptFactory(DjangoModelFactory[Attempt]):
    """A 200 by default; `refused=True` is a 503."""

    class Meta:
        model = Attempt

    class Params:
        refused = factory.Trait(
            outcome="throttled",
            status_code=503,
            error_kind="http_status",
            error="answered 503 Service Unavailable",
            response_body=b"upstream is restarting",
        )

    delivery = factory.SubFactory(DeliveryFactory)
    number = 1
    started_at = factory.LazyAttribute(lambda row: row.delivery.round_at + timedelta(milliseconds=12))
    duration_ms = 23.4
    outcome = "delivered"
    status_code = 200
    response_headers = factory.LazyFunction(lambda: [["content-type", "application/json"], ["server", "nginx"]])
    response_body = b'{"ok": true}'
    remote_address = "198.51.100.7:443"
    worker = "worker-1:4242"


class RejectedEventFactory(DjangoModelFactory[RejectedEvent]):
    class Meta:
        model = RejectedEvent

    tenant_slug = "artisan-cloud"
    reason = RejectReason.INVALID
    detail = "data.version: must be a semantic version"
    topic = "events"
    kafka_partition = 0
    kafka_offset = factory.Sequence(lambda n: n)
    headers = factory.LazyFunction(list)
    value = b"{}"
