from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from audit.trail import Actor
from eventcenter.crypto import seal
from eventcenter.envelope import Envelope
from eventcenter.standardwebhooks import decode_secret, generate_secret
from subscriptions.models import Endpoint, EndpointSecret, EndpointState, Lane, Subscription, Tenant
from subscriptions.routing import delivery_settings, routing
from subscriptions.services import rotate_secret, seal_headers
from tests.factories import EndpointFactory, EndpointSecretFactory, SubscriptionFactory, TenantFactory

pytestmark = pytest.mark.django_db
EVENT = Envelope(id="1", source="/s", type="plugin.release.published", tenant="acme", tags=("eu",))


def routed() -> list[int]:
    """Subscriptions that acme's event goes to, by what the database holds now."""
    routes = routing.reload().tenant("acme")
    return [] if routes is None else [route.subscription_id for route in routes.match(EVENT)]


@pytest.fixture
def subscription() -> Subscription:
    return SubscriptionFactory(endpoint__tenant=TenantFactory(slug="acme"))


def test_route_carries_what_planning_needs(subscription: Subscription) -> None:
    Endpoint.objects.update(lane=Lane.SLOW)
    table = routing.reload()
    assert table.tenant_id("acme") == subscription.tenant_id
    (route,) = table.tenant("acme").match(EVENT)
    assert (route.subscription_id, route.endpoint_id, route.lane) == (subscription.pk, subscription.endpoint_id, "slow")


def test_subscription_has_no_route_when_it_is_not_active(subscription: Subscription) -> None:
    assert routed() == [subscription.pk]
    Subscription.objects.update(active=False)
    assert routed() == []


def test_tenant_is_unknown_when_it_is_not_active(subscription: Subscription) -> None:
    Tenant.objects.update(active=False)
    assert routing.reload().tenant_id("acme") is None


@pytest.mark.parametrize("state", [EndpointState.PAUSED, EndpointState.DISABLED])
def test_subscription_keeps_its_route_when_the_endpoint_stands_still(
    subscription: Subscription, state: EndpointState
) -> None:
    """Its deliveries are planned, to be held or to end as dead in sight of everybody."""
    Endpoint.objects.update(state=state)
    assert routed() == [subscription.pk]


def test_others_are_routed_when_one_subscriptions_filters_are_unusable(
    subscription: Subscription, caplog: pytest.LogCaptureFixture
) -> None:
    broken = SubscriptionFactory(endpoint=subscription.endpoint, filters=[{"regex": {"type": ".*"}}])
    assert routed() == [subscription.pk]
    assert [(record.msg, record.subscription_id) for record in caplog.records] == [
        ("subscription.filters_unusable", broken.pk)
    ]


def test_tags_and_filters_are_read_from_the_row(subscription: Subscription) -> None:
    SubscriptionFactory(endpoint=subscription.endpoint, tags=["us"])
    SubscriptionFactory(endpoint=subscription.endpoint, filters=[{"exact": {"source": "/other"}}])
    both = SubscriptionFactory(endpoint=subscription.endpoint, tags=["us", "eu"], filters=[{"exact": {"source": "/s"}}])
    assert routed() == [subscription.pk, both.pk]


def test_subscription_has_no_route_when_its_endpoint_is_another_tenants(subscription: Subscription) -> None:
    """No form lets this through; a statement at the database would."""
    Subscription.objects.update(endpoint=EndpointFactory(tenant=TenantFactory(slug="globex")))
    assert routed() == []
    assert routing.reload().tenant("globex").match(EVENT) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda: SubscriptionFactory(),
        lambda: Subscription.objects.update(tags=["new"]),
        lambda: Endpoint.objects.update(state=EndpointState.PAUSED),
        lambda: EndpointSecretFactory(endpoint=Endpoint.objects.get()),
        lambda: Tenant.objects.update(active=False),
        lambda: Subscription.objects.all().delete(),
        lambda: connection.cursor().execute("UPDATE subscriptions_subscription SET active = false"),
    ],
    ids=["insert", "update", "endpoint", "secret", "tenant", "delete", "sql"],
)
def test_change_is_seen_whoever_makes_it(subscription: Subscription, change: object) -> None:
    before = (routing.get(), delivery_settings.get())
    assert callable(change)
    change()
    assert routing.reload() is not before[0]
    assert delivery_settings.reload() is not before[1]


def test_nothing_is_loaded_again_when_nothing_changed(
    subscription: Subscription, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    before = (routing.get(), delivery_settings.get())
    with django_assert_num_queries(2):
        assert (routing.reload(), delivery_settings.reload()) == before
    with django_assert_num_queries(0):
        routing.get()
        delivery_settings.get()


def test_change_is_not_seen_when_it_was_rolled_back(subscription: Subscription) -> None:
    before = routing.get()
    with transaction.atomic():
        Subscription.objects.update(active=False)
        transaction.set_rollback(True)
    assert routing.reload() is before


# --- What a worker holds ---


def test_sink_has_opened_secrets_newest_first_and_headers() -> None:
    pairs = [("Authorization", "Bearer 42"), ("X-Team", "core")]
    endpoint = EndpointFactory(sealed_headers=seal_headers(pairs), timeout_s=7.5, content_mode="binary")
    secrets = [generate_secret() for _ in range(2)]
    for number, secret in enumerate(secrets):
        made = EndpointSecretFactory(endpoint=endpoint, secret=secret)
        EndpointSecret.objects.filter(pk=made.pk).update(created_at=timezone.now() + timedelta(seconds=number))
    sink = delivery_settings.reload().sinks[endpoint.pk]
    assert sink.secrets == tuple(decode_secret(secret) for secret in reversed(secrets))
    assert sink.headers == tuple(pairs)
    assert (sink.tenant, sink.slug, sink.url) == (endpoint.tenant.slug, endpoint.slug, endpoint.url)
    assert (sink.timeout_s, sink.content_mode, sink.state) == (7.5, "binary", "enabled")


def test_old_secret_signs_along_when_it_was_rotated() -> None:
    endpoint = EndpointFactory()
    old = generate_secret()
    EndpointSecretFactory(endpoint=endpoint, secret=old)
    new = rotate_secret(endpoint, Actor("user:eva"))
    assert set(delivery_settings.reload().sinks[endpoint.pk].secrets) == {decode_secret(old), decode_secret(new)}
    EndpointSecret.objects.filter(expires_at__isnull=False).update(expires_at=timezone.now())
    assert delivery_settings.reload().sinks[endpoint.pk].secrets == (decode_secret(new),)


def test_others_are_served_when_one_endpoints_secret_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    broken, good = EndpointFactory(), EndpointFactory()
    EndpointSecretFactory(endpoint=broken, sealed_secret=b"lost-key:" + b"x" * 40)
    EndpointSecretFactory(endpoint=good)
    settings = delivery_settings.reload()
    assert len(settings.sinks[good.pk].secrets) == 1
    assert broken.pk in settings.sinks
    assert [record.msg for record in caplog.records] == ["secret.unreadable"]


def test_secret_is_not_taken_when_it_was_sealed_for_another_purpose(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = EndpointFactory()
    EndpointSecretFactory(endpoint=endpoint, sealed_secret=seal(generate_secret(), "publish-secret"))
    assert delivery_settings.reload().sinks[endpoint.pk].secrets == ()
    assert [record.msg for record in caplog.records] == ["secret.unreadable"]


def test_nothing_secret_is_shown_when_a_sink_is_printed() -> None:
    endpoint = EndpointFactory(url="https://hooks.example.com/token-1234", sealed_headers=seal_headers([("a", "b-42")]))
    EndpointSecretFactory(endpoint=endpoint)
    shown = repr(delivery_settings.reload())
    assert endpoint.slug in shown
    assert "token-1234" not in shown
    assert "b-42" not in shown
    assert "secrets" not in shown


def test_policies_are_held_by_subscription() -> None:
    plain, special = SubscriptionFactory(), SubscriptionFactory(retry_policy={"schedule_s": [0]})
    assert delivery_settings.reload().policies == {plain.pk: None, special.pk: {"schedule_s": [0]}}
