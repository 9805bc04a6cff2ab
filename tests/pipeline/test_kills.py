"""Processes die in the middle of their work and Redis forgets everything: no event is lost, hardly one comes twice."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import requests
from django.conf import settings as django_settings

from delivery.bench.processes import Fleet
from delivery.bench.run import make_tenant, prepare, publish
from delivery.models import Delivery, Dispatch, DuplicateSend
from delivery.states import DeliveryStatus
from delivery.telemetry.sums import EPOCH, FOREVER, total
from eventcenter.models import EventType
from tests.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

EVENTS = 80_000
DUPLICATES_MOST = 0.002  # of all deliveries


@pytest.fixture
def process_env(process_env: dict[str, str]) -> dict[str, str]:
    """Short leases, so that what a killed worker held is free again soon."""
    return process_env | {"DISPATCH_LEASE_S": "6", "WEBHOOK_MAX_TIMEOUT_S": "2"}


def test_every_event_arrives_when_processes_are_killed_and_redis_is_flushed(
    fleet: Fleet, event_types: list[EventType]
) -> None:
    sink = fleet.start_sink()
    make_tenant("acme", f"{sink}/hook", 1)
    fleet.start_sweep()
    consumer, worker = fleet.start_consumer(), fleet.start_worker("worker")

    def stats() -> dict[str, Any]:
        counted: dict[str, Any] = requests.get(f"{sink}/stats", timeout=30).json()
        return counted

    def arrived(count: int) -> None:
        eventually(lambda: stats()["unique"] >= count, timeout=120, every_s=0.1)

    assert publish(prepare("acme", EVENTS), rate=0) == EVENTS
    arrived(EVENTS // 6)
    consumer.kill()
    fleet.start_consumer("consumer2")
    arrived(EVENTS // 3)
    worker.kill()
    fleet.start_worker("worker2")
    arrived(EVENTS // 2)
    redis.Redis.from_url(django_settings.REDIS_URL).flushall()
    arrived(EVENTS)

    eventually(lambda: not Dispatch.objects.exists(), timeout=60)
    assert Delivery.objects.count() == EVENTS
    assert set(Delivery.objects.values_list("status", flat=True).distinct()) == {DeliveryStatus.DELIVERED}
    assert stats()["duplicates"] <= EVENTS * DUPLICATES_MOST
    # Nothing reaches a receiver twice that is not counted; a late result may still be on its way to the recorder.
    eventually(lambda: DuplicateSend.objects.count() >= stats()["duplicates"])
    eventually(lambda: DuplicateSend.objects.count() == total(EPOCH, FOREVER).duplicates)
