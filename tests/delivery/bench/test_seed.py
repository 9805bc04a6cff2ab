"""The made-up traffic is what it says, holds together, and is never sent."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, F, Q, Sum
from django.utils import timezone
from pytest_django import Settings

from delivery.bench.pages import measure
from delivery.bench.seed import PREFIX, AlreadySeeded, Volume, seed
from delivery.models import Attempt, Delivery, DeliveryCounter
from eventcenter.models import Event, RejectedEvent
from subscriptions.models import Endpoint

pytestmark = pytest.mark.django_db

DELIVERIES = 6_000


@pytest.fixture
def volume() -> Volume:
    made = Volume(DELIVERIES, tenants=3, days=2, end=timezone.now())
    assert seed(made, lambda line: None) == DELIVERIES
    return made


def test_one_tenant_has_half_and_the_fates_are_as_stated(volume: Volume) -> None:
    tenants = Counter(Delivery.objects.values_list("tenant__slug", flat=True))
    assert tenants == {
        f"{PREFIX}000": DELIVERIES // 2,
        f"{PREFIX}001": DELIVERIES // 4,
        f"{PREFIX}002": DELIVERIES // 4,
    }
    status = dict(Delivery.objects.values_list("status").annotate(Count("pk")))
    assert status["delivered"] == pytest.approx(DELIVERIES * 0.99, rel=0.01)
    assert {"dead", "cancelled", "retrying"} <= status.keys()
    assert Attempt.objects.filter(delivery__status="delivered", number=2).count() == pytest.approx(
        DELIVERIES * 0.02, rel=0.3
    )


def test_every_row_belongs_to_its_own(volume: Volume) -> None:
    assert Event.objects.count() == DELIVERIES // 2
    strangers = ~Q(event__tenant_id=F("tenant_id")) | ~Q(endpoint__tenant_id=F("tenant_id"))
    strangers |= ~Q(subscription__endpoint_id=F("endpoint_id"))
    assert not Delivery.objects.filter(strangers).exists()
    assert Delivery.objects.select_related("event").filter(event__isnull=False).count() == DELIVERIES
    assert Attempt.objects.count() == Delivery.objects.aggregate(sum=Sum("attempts"))["sum"]
    times = [delivery.planned_at for delivery in Delivery.objects.all()]
    assert volume.start - timedelta(seconds=1) <= min(times)
    assert max(times) <= volume.end


def test_some_messages_were_rejected_in_every_tenant(volume: Volume) -> None:
    assert set(RejectedEvent.objects.values_list("reason", flat=True)) == {"invalid", "unknown_type", "unknown_tenant"}
    assert len(set(RejectedEvent.objects.values_list("tenant_slug", flat=True))) > 2
    assert 0 < RejectedEvent.objects.settled().count() < RejectedEvent.objects.count()


def test_counters_say_what_the_rows_say(volume: Volume) -> None:
    sums = DeliveryCounter.objects.aggregate(
        tries=Sum("attempts"), delivered=Sum("delivered"), dead=Sum("dead"), first=Sum("first_delivered")
    )
    rows = Delivery.objects.aggregate(
        tries=Sum("attempts"),
        delivered=Count("pk", filter=Q(status="delivered")),
        dead=Count("pk", filter=Q(status="dead")),
        first=Count("pk", filter=Q(status="delivered", attempts=1)),
    )
    assert sums == rows
    buckets = [sum(row) for row in DeliveryCounter.objects.values_list("latency_buckets", flat=True)]
    assert sum(buckets) == rows["delivered"]


def test_nothing_of_it_is_ever_sent(volume: Volume) -> None:
    assert not Delivery.objects.due(timezone.now() + timedelta(days=7)).exists()
    assert set(Endpoint.objects.values_list("state", flat=True)) == {"paused"}


def test_second_run_is_refused_and_changes_nothing(volume: Volume) -> None:
    with pytest.raises(AlreadySeeded, match="empty database"):
        seed(volume, lambda line: None)
    with pytest.raises(CommandError, match="seed-"):
        call_command("seed_deliveries", deliveries=10)
    assert Delivery.objects.count() == DELIVERIES


@pytest.mark.parametrize("name", ["deliveries", "tenants", "days"])
def test_command_names_the_option_when_it_is_not_positive(name: str) -> None:
    with pytest.raises(CommandError, match=f"--{name} takes a whole number of at least 1"):
        call_command("seed_deliveries", **{name: 0})
    assert not Delivery.objects.exists()


def test_production_is_never_seeded(settings: Settings) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="production"):
        call_command("seed_deliveries", deliveries=10)
    assert not Delivery.objects.exists()


def test_every_page_is_measured_on_it(volume: Volume) -> None:
    said: list[str] = []
    taken: dict[str, Any] = measure(2, said.append)
    assert {"deliveries", "deliveries_dead", "deliveries_deep", "delivery", "admin_events"} <= taken.keys()
    assert all(len(times) == 2 and min(times) > 0 for times in taken.values())
    assert len(said) == len(taken)
