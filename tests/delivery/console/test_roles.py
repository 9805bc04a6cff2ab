"""What each role sees and may do in the console: not shown, and refused when asked for directly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from delivery.models import Delivery, ReplayJob
from eventcenter.access.roles import Role
from subscriptions.models import Tenant
from tests.factories import DeliveryFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]


@pytest.fixture
def sign_in() -> SignIn:
    def made(*roles: tuple[Tenant | None, Role]) -> Client:
        client = Client()
        client.force_login(UserFactory(roles=roles))
        return client

    return made


@pytest.fixture
def dead() -> Delivery:
    delivery: Delivery = DeliveryFactory(dead=True)
    return delivery


def test_list_shows_the_deliveries_of_ones_tenants_alone(sign_in: SignIn, dead: Delivery) -> None:
    other = DeliveryFactory(
        dead=True, subscription__endpoint__slug="their-sink", subscription__endpoint__tenant__slug="rival"
    )
    page = sign_in((dead.tenant, Role.VIEWER)).get(reverse("deliveries")).content.decode()
    assert str(dead.pk) in page
    assert str(other.pk) not in page
    assert other.tenant.slug not in page
    assert other.endpoint.slug not in page


def test_another_tenants_delivery_is_not_found(sign_in: SignIn, dead: Delivery) -> None:
    client = sign_in((TenantFactory(), Role.TENANT_ADMIN))
    for name in ("delivery", "delivery-replay", "delivery-pass-over"):
        assert client.get(reverse(name, args=[dead.pk])).status_code == 404
    assert client.post(reverse("delivery-replay", args=[dead.pk])).status_code == 404
    dead.refresh_from_db()
    assert dead.status == "dead"


def test_viewer_sees_no_button_and_cannot_replay(sign_in: SignIn, dead: Delivery) -> None:
    client, url = sign_in((dead.tenant, Role.VIEWER)), reverse("delivery-replay", args=[dead.pk])
    assert url not in client.get(reverse("delivery", args=[dead.pk])).content.decode()
    assert reverse("replay-new") not in client.get(reverse("replays")).content.decode()
    assert client.get(url).status_code == 403
    assert client.post(url).status_code == 403
    dead.refresh_from_db()
    assert dead.status == "dead"


def test_viewer_of_one_and_operator_of_another_replays_the_others_alone(sign_in: SignIn, dead: Delivery) -> None:
    own = DeliveryFactory(dead=True)
    client = sign_in((dead.tenant, Role.VIEWER), (own.tenant, Role.OPERATOR))
    assert client.post(reverse("delivery-replay", args=[dead.pk])).status_code == 403
    assert client.post(reverse("delivery-replay", args=[own.pk])).status_code == 302
    own.refresh_from_db()
    assert own.status == "pending"


def test_bulk_replay_stays_within_ones_tenants(sign_in: SignIn, dead: Delivery) -> None:
    mine = DeliveryFactory(dead=True)
    client = sign_in((mine.tenant, Role.OPERATOR))
    form = {"status": ["dead"], "rate_per_s": "10", "ids": f"{dead.pk},{mine.pk}"}
    assert client.post(reverse("replay-new"), form).status_code == 302
    job = ReplayJob.objects.get()
    assert job.tenant_id == mine.tenant_id
    assert job.total == 1


def test_bulk_replay_asks_for_the_tenant_when_there_are_several(sign_in: SignIn, dead: Delivery) -> None:
    mine = DeliveryFactory(dead=True)
    client = sign_in((mine.tenant, Role.OPERATOR), (TenantFactory(), Role.OPERATOR))
    page = client.post(reverse("replay-new"), {"status": ["dead"], "rate_per_s": "10"})
    assert page.status_code == 200
    assert "must be given" in page.content.decode()
    foreign = {"status": ["dead"], "rate_per_s": "10", "tenant": dead.tenant.slug}
    assert client.post(reverse("replay-new"), foreign).status_code == 200
    subscriber = {"status": ["dead"], "rate_per_s": "10", "subscriber": f"endpoint-{dead.endpoint_id}"}
    assert client.post(reverse("replay-new"), subscriber).status_code == 200
    assert not ReplayJob.objects.exists()


def test_anothers_replay_cannot_be_seen_moved_or_copied(sign_in: SignIn, dead: Delivery) -> None:
    owner = sign_in((dead.tenant, Role.OPERATOR))
    owner.post(reverse("replay-new"), {"status": ["dead"], "rate_per_s": "10"})
    job = ReplayJob.objects.get()
    stranger = sign_in((TenantFactory(), Role.OPERATOR))
    assert stranger.get(reverse("replay-job", args=[job.pk])).status_code == 404
    assert stranger.post(reverse("replay-move", args=[job.pk, "start"])).status_code == 404
    assert str(job.pk) not in stranger.get(reverse("replays")).content.decode()
    assert dead.tenant.slug not in stranger.get(f"{reverse('replay-new')}?from={job.pk}").content.decode()
    viewer = sign_in((dead.tenant, Role.VIEWER))
    assert viewer.post(reverse("replay-move", args=[job.pk, "start"])).status_code == 403
    job.refresh_from_db()
    assert job.state == "draft"


def test_a_platform_job_is_the_platforms_to_see(sign_in: SignIn, dead: Delivery) -> None:
    sign_in((None, Role.OPERATOR)).post(reverse("replay-new"), {"status": ["dead"], "rate_per_s": "10"})
    job = ReplayJob.objects.get()
    assert job.tenant_id is None
    assert sign_in((dead.tenant, Role.OPERATOR)).get(reverse("replay-job", args=[job.pk])).status_code == 404
    assert sign_in((None, Role.VIEWER)).get(reverse("replay-job", args=[job.pk])).status_code == 200
