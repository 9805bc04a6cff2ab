"""The list of subscribers and the page of one, as people meet them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from audit.trail import Actor, record
from delivery.alerts import raise_alert
from delivery.models import AlertSeverity, Breaker, Delivery, DeliveryCounter, OrderedDelivery
from delivery.outcome import ErrorKind
from subscriptions.models import Endpoint, EndpointState, Ordering
from subscriptions.yaml_sync.export import export
from tests.factories import (
    AttemptFactory,
    DeliveryFactory,
    EndpointFactory,
    EndpointSecretFactory,
    SubscriptionFactory,
    TenantFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db
LIST = "/console/subscribers"
LIVE = {"HX-Request": "true", "HX-Target": "live"}
LIST_QUERIES = (
    11  # session, user, roles; tenants; signs, endpoints, breakers, an hour, what waits; due keys; alerts that fire
)
PAGE_QUERIES = 21
LIVE_QUERIES = 16


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory(username="eva"))
    return client


def text_of(response: Any, status: int = 200) -> str:
    assert response.status_code == status
    return str(response.content.decode())


def url_of(endpoint: Endpoint, name: str = "subscriber") -> str:
    return reverse(name, args=[endpoint.pk])


def counted(endpoint: Endpoint, minutes_ago: int = 1, **counts: Any) -> None:
    at = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)
    owner = {"endpoint_id": endpoint.pk, "tenant_id": endpoint.tenant_id}
    DeliveryCounter.objects.create(minute=at, shard=1, latency_buckets=[0] * 13, **owner, **counts)


def signed(**fields: Any) -> Endpoint:
    """With a fresh secret, so that nothing is wrong with it."""
    endpoint: Endpoint = EndpointSecretFactory(endpoint=EndpointFactory(**fields)).endpoint
    return endpoint


# --- The list ---


def test_those_in_trouble_come_first_when_others_are_well(ops: Client) -> None:
    tenant = TenantFactory(slug="acme")
    well, shut, ended = (signed(tenant=tenant, slug=slug) for slug in ("a-well", "b-shut", "c-ended"))
    Breaker.objects.create(
        endpoint_id=shut.pk, tenant_id=tenant.pk, state="open", reason="10 failures in a row", opened_at=timezone.now()
    )
    Endpoint.objects.filter(pk=ended.pk).update(state="disabled", disabled_by_system=True, state_reason="410 Gone.")
    counted(well, delivered=97, failed=3, attempts=100)
    text = text_of(ops.get(LIST))
    assert text.index("c-ended") < text.index("b-shut") < text.index("a-well")
    for words in ("10 failures in a row", "410 Gone.", "97.0 %", "<b>2</b> in trouble", "Disabled by the system"):
        assert words in text


def test_backlog_is_counted_and_dated_when_deliveries_wait(ops: Client) -> None:
    endpoint = signed()
    made = DeliveryFactory(retrying=True, subscription__endpoint=endpoint)
    Delivery.objects.filter(pk=made.pk).update(
        due_at=timezone.now() - timedelta(minutes=9), held_reason=ErrorKind.BREAKER_OPEN
    )
    text = text_of(ops.get(LIST))
    assert "overdue by 9 m" in text
    assert "held" in text


def test_destination_has_no_query_when_its_url_has_one(ops: Client) -> None:
    endpoint = signed(url="https://hooks.example.com/in?token=s3cret")
    for page in (LIST, url_of(endpoint), url_of(endpoint, "subscriber-yaml")):
        text = text_of(ops.get(page))
        assert "s3cret" not in text
    assert "hooks.example.com/in" in text_of(ops.get(LIST))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=HOOKS.", ["queue"]),
        ("q=acme/q", ["queue"]),
        ("q=Billing", ["hook"]),
        ("q=s3cret", []),
        ("q=%00", ["hook", "queue"]),
        ("state=paused", ["hook"]),
        ("tenant=acme&channel=webhook", ["hook", "queue"]),
        ("channel=kafka", []),
        ("trouble=yes", ["hook"]),
        ("trouble=no", ["queue"]),
        ("state=nonsense&after=nonsense", ["hook", "queue"]),
    ],
)
def test_filters_find_what_they_name(ops: Client, query: str, found: list[str]) -> None:
    tenant = TenantFactory(slug="acme")
    signed(tenant=tenant, slug="hook", name="Billing", state="paused", url="https://x.example/s3cret")
    signed(tenant=tenant, slug="queue", url="https://hooks.example.com/in?token=s3cret")
    text = text_of(ops.get(f"{LIST}?{query}"))
    assert [slug for slug in ("hook", "queue") if f"<b>{slug}</b>" in text] == found


def test_empty_fields_leave_the_url_when_a_form_without_script_sends_them(ops: Client) -> None:
    response = ops.get(f"{LIST}?tenant=&state=paused&q=")
    assert response.headers["Location"] == f"{LIST}?state=paused"


def test_empty_list_says_how_it_is_filled(ops: Client) -> None:
    assert "No subscribers yet" in text_of(ops.get(LIST))
    assert "No subscriber fits" in text_of(ops.get(f"{LIST}?state=paused"))


def test_list_asks_as_many_queries_for_many_as_for_one(
    ops: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    tenant = TenantFactory()
    Endpoint.objects.bulk_create(Endpoint(tenant=tenant, slug=f"sink-{number}") for number in range(120))
    with django_assert_num_queries(LIST_QUERIES):
        text = text_of(ops.get(LIST))
    assert "<b>120</b> subscribers" in text
    assert 'rel="next"' in text
    assert "<html" not in text_of(ops.get(LIST, headers=LIVE))


# --- One ---


def failing() -> Endpoint:
    endpoint = signed(max_in_flight=4, rate_limit=2.5)
    made = DeliveryFactory(retrying=True, subscription__endpoint=endpoint)
    AttemptFactory(delivery=made, refused=True, started_at=timezone.now())
    Breaker.objects.create(
        endpoint_id=endpoint.pk,
        tenant_id=endpoint.tenant_id,
        state="open",
        reason="10 failures in a row; the last: 503",
        opened_at=timezone.now() - timedelta(minutes=5),
        failing_since=timezone.now() - timedelta(minutes=6),
        next_probe_at=timezone.now() + timedelta(seconds=90),
        consecutive=10,
    )
    counted(endpoint, failed=10, attempts=10)
    return endpoint


def test_page_says_that_it_is_them_and_since_when_if_they_refuse(ops: Client) -> None:
    endpoint = failing()
    raise_alert(
        "endpoint.failing", "k", AlertSeverity.WARNING, "It takes nothing.", timezone.now(),
        tenant_id=endpoint.tenant_id, endpoint_id=endpoint.pk,
    )  # fmt: skip
    text = text_of(ops.get(url_of(endpoint)))
    for words in ("It is them: 503", "6 m ", "10 failures in a row; the last: 503", "10 of 10 attempts failed",
                  "0 of 4", "of 2.5 allowed", "It takes nothing.", "to be tried again", "probe"):  # fmt: skip
        assert words in text, words


def test_page_of_a_new_endpoint_is_calm_when_nothing_was_sent(ops: Client) -> None:
    text = text_of(ops.get(url_of(signed())))
    for words in (
        "Quiet",
        "Nothing was sent to it within the hour",
        "nothing waits for it",
        "No subscription leads here",
    ):
        assert words in text


def test_page_asks_a_fixed_number_of_queries(ops: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    endpoint = failing()
    for _ in range(3):
        DeliveryFactory(dead=True, subscription__endpoint=endpoint, subscription__ordering=Ordering.BLOCK)
    with django_assert_num_queries(PAGE_QUERIES):
        ops.get(url_of(endpoint))
    with django_assert_num_queries(LIVE_QUERIES):
        assert "<html" not in text_of(ops.get(url_of(endpoint), headers=LIVE))


def test_keys_that_a_dead_delivery_holds_up_are_shown(ops: Client) -> None:
    subscription = SubscriptionFactory(ordering=Ordering.BLOCK)
    head, behind = DeliveryFactory(dead=True, subscription=subscription), DeliveryFactory(subscription=subscription)
    key = head.event_id
    for row in (head, behind):
        OrderedDelivery.objects.create(order_key=key, subscription_id=subscription.pk, delivery_id=row.pk)
    text = text_of(ops.get(url_of(subscription.endpoint)))
    assert "1 behind it" in text
    assert reverse("delivery", args=[head.pk]) in text


def test_secrets_show_their_ages_and_never_their_values(ops: Client) -> None:
    secret = EndpointSecretFactory(secret="whsec_c2VjcmV0LXZhbHVlLW9mLXRlc3Rz")
    type(secret).objects.filter(pk=secret.pk).update(created_at=timezone.now() - timedelta(days=400))
    text = text_of(ops.get(url_of(secret.endpoint)))
    assert "rotation overdue by" in text
    assert "c2VjcmV0" not in text


def test_trail_is_shown_to_who_administers_alone(client: Client) -> None:
    endpoint = signed()
    record(
        endpoint.tenant.slug, Actor("user:mallory"), "endpoint.paused", f"endpoint:{endpoint.pk}", {"reason": "night"}
    )
    client.force_login(UserFactory(roles=((endpoint.tenant, "operator"),)))
    assert "user:mallory" not in text_of(client.get(url_of(endpoint)))
    client.force_login(UserFactory(roles=((endpoint.tenant, "tenant_admin"),)))
    text = text_of(client.get(url_of(endpoint)))
    assert "user:mallory" in text
    assert "night" in text


@pytest.mark.parametrize(("period", "status"), [("24h", 200), ("7d", 200), ("", 200), ("9y", 302)])
def test_charts_are_of_the_chosen_period(ops: Client, period: str, status: int) -> None:
    endpoint = failing()
    response = ops.get(url_of(endpoint), {"period": period})
    assert response.status_code == status
    assert status == 302 or response.content.decode().count("<figure") == 3


def test_missing_endpoint_is_not_found(ops: Client) -> None:
    assert ops.get(f"{LIST}/{2**62}").status_code == 404
    assert ops.get(f"{LIST}/{2**70}").status_code == 404


# --- YAML ---


def test_yaml_is_what_an_export_writes_for_it(ops: Client) -> None:
    endpoint = signed(slug="b-sink")
    SubscriptionFactory(endpoint=endpoint, tags=["stable"])
    EndpointFactory(tenant=endpoint.tenant, slug="a-sink")
    response = ops.get(url_of(endpoint, "subscriber-yaml"), {"download": "1"})
    assert response.headers["Content-Type"] == "application/yaml"
    assert "attachment" in response.headers["Content-Disposition"]
    whole = export(endpoint.tenant.slug).text(endpoint.tenant.slug)
    begin = whole.index("      - slug: b-sink")
    assert whole[begin:] in text_of(response)
    assert "a-sink" not in text_of(response)
    page = text_of(ops.get(url_of(endpoint, "subscriber-yaml")))
    assert "No file owns it" in page
    Endpoint.objects.filter(pk=endpoint.pk).update(managed_by="yaml")
    assert "The subscriptions file owns it" in text_of(ops.get(url_of(endpoint, "subscriber-yaml")))
    Endpoint.objects.filter(pk=endpoint.pk).update(
        state=EndpointState.DISABLED, state_reason="Removed from the subscriptions file."
    )
    assert "stopped naming it" in text_of(ops.get(url_of(endpoint, "subscriber-yaml")))
