from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import AuditEntry
from delivery.models import Delivery, Dispatch, OrderedDelivery
from delivery.order.order_key import order_key
from delivery.order.ordering import Ordered, enqueue
from delivery.states import DeliveryStatus
from subscriptions.models import Ordering
from tests.factories import DeliveryFactory, SubscriptionFactory, UserFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queues")]


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory(username="eva"))
    return client


@pytest.fixture
def line() -> list[Delivery]:
    """A dead delivery and the one that waits for it."""
    subscription = SubscriptionFactory(ordering=Ordering.BLOCK)
    rows = [DeliveryFactory(subscription=subscription, dead=True), DeliveryFactory(subscription=subscription)]
    key = order_key(subscription.pk, "acme|one")
    enqueue([Ordered(row.pk, subscription.pk, key) for row in rows])
    Delivery.objects.filter(pk=rows[1].pk).update(held_reason="ordering")
    return rows


def test_next_of_the_key_goes_when_the_dead_one_is_passed_over(ops: Client, line: list[Delivery]) -> None:
    url = reverse("delivery-pass-over", args=[line[0].pk])
    assert url in ops.get(reverse("delivery", args=[line[0].pk])).content.decode()
    assert "Pass over this delivery?" in ops.get(url).content.decode()
    told = ops.post(url, follow=True).content.decode()
    assert "Passed over." in told
    assert url not in told
    assert Dispatch.objects.get().delivery_ids == [line[1].pk]
    assert Delivery.objects.get(pk=line[0].pk).state is DeliveryStatus.DEAD
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor) == ("delivery.passed_over", "user:eva")


def test_nothing_is_offered_or_done_when_nothing_waits_for_it(ops: Client) -> None:
    delivery = DeliveryFactory(dead=True)
    url = reverse("delivery-pass-over", args=[delivery.pk])
    assert url not in ops.get(reverse("delivery", args=[delivery.pk])).content.decode()
    assert "Not passed over." in ops.post(url, follow=True).content.decode()
    assert not Dispatch.objects.exists()
    assert not AuditEntry.objects.exists()


def test_pass_over_is_refused_when_nobody_is_signed_in(client: Client, line: list[Delivery]) -> None:
    assert client.post(reverse("delivery-pass-over", args=[line[0].pk])).status_code == 302
    assert OrderedDelivery.objects.count() == 2
    assert not Dispatch.objects.exists()
