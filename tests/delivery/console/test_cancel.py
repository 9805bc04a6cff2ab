from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import AuditEntry
from delivery.models import Delivery
from eventcenter.access.roles import Role
from tests.delivery.order.lines import ordered_subscription, plan
from tests.factories import DeliveryFactory, TenantFactory, UserFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queues")]


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory(username="eva"))
    return client


def url_of(delivery: Delivery) -> str:
    return reverse("delivery-cancel", args=[delivery.pk])


def test_delivery_is_cancelled_after_a_question(ops: Client) -> None:
    delivery = DeliveryFactory(retrying=True)
    asked = ops.get(url_of(delivery)).content.decode()
    assert "Cancel this delivery?" in asked
    assert "partition key" not in asked
    assert Delivery.objects.get().status == "retrying"
    assert "Cancelled. It is not sent any more" in ops.post(url_of(delivery), follow=True).content.decode()
    assert Delivery.objects.get().status == "cancelled"
    assert AuditEntry.objects.get().actor == "user:eva"


def test_question_tells_that_the_next_of_the_key_goes(ops: Client) -> None:
    head, _ = plan(ordered_subscription(), "a", "a")
    assert "The next delivery of its partition key goes at once." in ops.get(url_of(head)).content.decode()


def test_ended_delivery_is_refused_in_words(ops: Client) -> None:
    delivery = DeliveryFactory(delivered=True)
    page = ops.get(url_of(delivery)).content.decode()
    assert "It is no longer open: it is delivered already." in page
    assert "<form method" not in page.split("<h1>", 1)[1].split("</main>", 1)[0]
    assert "Not cancelled." in ops.post(url_of(delivery), follow=True).content.decode()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(("mine", "role", "status"), [(True, Role.VIEWER, 403), (False, Role.TENANT_ADMIN, 404)])
def test_cancel_is_refused_when_one_may_not_operate_there(mine: bool, role: Role, status: int, client: Client) -> None:
    delivery = DeliveryFactory()
    client.force_login(UserFactory(roles=[(delivery.tenant if mine else TenantFactory(), role)]))
    assert client.get(url_of(delivery)).status_code == status
    assert client.post(url_of(delivery)).status_code == status
    assert Delivery.objects.get().status == "pending"
    assert not AuditEntry.objects.exists()
