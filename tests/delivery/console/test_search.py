from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.trail import Actor
from delivery.alerts import raise_alert
from delivery.models import Alert, AlertSeverity
from delivery.replays import service
from delivery.replays.criteria import Criteria
from eventcenter.access.roles import Role
from tests import factories

pytestmark = pytest.mark.django_db
URL = "/console/search"
PALETTE = {"HX-Request": "true", "HX-Target": "palette-found"}
TRACE = "5b8aa5a2d2c872e8321cf37308d69df2"
FRAME_QUERIES = 5  # session, user, roles; due keys; alerts that fire
NOBODYS = "f85411ca-1beb-4749-bad4-58ededf7f8ce"


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(factories.UserFactory())
    return client


def viewer_of(*tenants: Any) -> Client:
    client = Client()
    client.force_login(factories.UserFactory(roles=[(tenant, Role.VIEWER) for tenant in tenants]))
    return client


def page(client: Client, text: str, **headers: str) -> str:
    response = client.get(URL, {"q": text}, headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def a_delivery() -> tuple[str, str]:
    made = factories.DeliveryFactory()
    return str(made.pk), reverse("delivery", args=[made.pk])


def an_alert() -> tuple[str, str]:
    tenant = factories.TenantFactory()
    raise_alert("endpoint.failing", "x", AlertSeverity.WARNING, "It fails.", timezone.now(), tenant_id=tenant.pk)
    made = Alert.objects.get()
    return str(made.pk), reverse("alert", args=[made.pk])


def a_replay() -> tuple[str, str]:
    criteria = Criteria(tenant_id=factories.TenantFactory().pk)
    made = service.draft(criteria, Actor.of_user(factories.SuperuserFactory()), 10, "a test")
    return str(made.pk), reverse("replay-job", args=[made.pk])


@pytest.mark.parametrize("made", [a_delivery, an_alert, a_replay])
def test_id_leads_to_its_thing_when_it_names_one(ops: Client, made: Callable[[], tuple[str, str]]) -> None:
    key, url = made()

    assert ops.get(URL, {"q": f" {key.upper()} "}).headers["Location"] == url
    assert url in page(ops, key, **PALETTE)  # the palette shows it and leads nowhere by itself


def test_event_and_rejected_message_are_found_by_their_ids(ops: Client) -> None:
    event, rejected = factories.EventFactory(), factories.RejectedEventFactory()

    for key, kind in ((event.pk, "Event"), (rejected.pk, "Rejected message")):
        response = ops.get(URL, {"q": str(key)}, follow=True)
        assert str(key) in response.request["PATH_INFO"] or kind in response.content.decode()


def test_another_tenants_thing_is_not_found_by_its_id() -> None:
    theirs = factories.DeliveryFactory()
    rejected = factories.RejectedEventFactory(tenant_slug=theirs.tenant.slug)
    client = viewer_of(factories.TenantFactory())

    for key in (theirs.pk, theirs.event_id, rejected.pk):
        assert "Nothing here is called" in page(client, str(key))


def test_trace_shows_its_events_and_their_deliveries(ops: Client) -> None:
    made = factories.DeliveryFactory(dead=True, event__traceparent=f"00-{TRACE}-b7ad6b7169203331-01")

    for text in (TRACE, f"00-{TRACE}-b7ad6b7169203331-01"):
        shown = page(ops, text)
        assert made.event.subject in shown
        assert reverse("delivery", args=[made.pk]) in shown
        assert "Events of this trace" in shown


@pytest.mark.parametrize("text", ["payments", "2.4.1", "payments@2.4.1", "payments 2.4.1"])
def test_release_shows_its_events_with_their_standing(ops: Client, text: str) -> None:
    made = factories.DeliveryFactory(dead=True, event__subject="payments", event__version="2.4.1")
    factories.DeliveryFactory(event__subject="other", event__version="9.9.9")

    shown = page(ops, text)

    assert reverse("delivery", args=[made.pk]) in shown
    assert "dot dead" in shown
    assert "9.9.9" not in shown
    assert f"{reverse('deliveries')}?q=" in shown


def test_only_ones_own_events_are_found_when_a_plugin_is_shared() -> None:
    ours, theirs = (factories.DeliveryFactory(event__subject="shared") for _ in range(2))

    shown = page(viewer_of(ours.tenant), "shared")

    assert str(ours.pk) in shown
    assert str(theirs.pk) not in shown
    assert theirs.tenant.slug not in shown


def test_names_are_found_by_a_part_of_them_within_ones_tenants() -> None:
    ours, theirs = factories.EndpointFactory(slug="ci-gateway"), factories.EndpointFactory(slug="rival-gateway")
    subscription = factories.SubscriptionFactory(endpoint=ours, slug="gateway-releases")

    shown = page(viewer_of(ours.tenant), "gateway")

    assert "ci-gateway" in shown
    assert f"subscription-{subscription.pk}" in shown
    assert theirs.slug not in shown
    assert "rival" not in page(viewer_of(ours.tenant), "riv").replace("“riv”", "")


def test_pages_are_found_by_the_beginning_of_their_names(ops: Client) -> None:
    assert reverse("work-orders") in page(ops, "ord", **PALETTE)
    assert reverse("work-orders") not in page(ops, "rders", **PALETTE)


def test_plugins_that_begin_alike_are_offered_when_none_has_the_name(ops: Client) -> None:
    event = factories.EventFactory(subject="payments-gateway")
    factories.EventFactory(subject="unlike")
    own = viewer_of(event.tenant)

    for client in (ops, own):
        for text in ("payments", "paymentz-gateways"):
            shown = page(client, text)
            assert "?q=payments-gateway" in shown
            assert "unlike" not in shown
    assert "?q=payments-gateway" not in page(viewer_of(factories.TenantFactory()), "payments")


@pytest.mark.parametrize("text", ["", "  ", "a\0b", "%", "_", "\\", "'", "x" * 5000, "<script>x()</script>", NOBODYS])
def test_page_says_what_can_be_searched_for_when_nothing_is_found(ops: Client, text: str) -> None:
    shown = page(ops, text)

    assert "What can be searched for" in shown
    assert "<script>x()" not in shown


def test_query_count_does_not_grow_with_what_is_found(ops: Client, django_assert_num_queries: Any) -> None:
    subscription = factories.SubscriptionFactory()
    for _ in range(3):
        factories.DeliveryFactory(subscription=subscription, event__subject="payments")
    with django_assert_num_queries(FRAME_QUERIES + 6):  # events' ids, events, deliveries; three kinds of names
        page(ops, "payments")
    with django_assert_num_queries(FRAME_QUERIES + 7):  # a query for each kind of thing
        page(ops, str(uuid4()))
    with django_assert_num_queries(FRAME_QUERIES + 7):  # ids, names, thrice plugins that begin alike
        page(ops, "nothing-alike")


def test_stranger_is_sent_to_sign_in_and_who_may_see_nothing_is_refused() -> None:
    assert Client().get(URL, {"q": "x"}).status_code == 302
    client = Client()
    client.force_login(factories.UserFactory(roles=()))
    assert client.get(URL, {"q": "x"}).status_code == 403
