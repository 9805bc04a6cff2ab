"""A worker that is told to stop under load: what is in flight is finished, the rest goes on elsewhere at once, nothing twice."""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.utils import timezone

from delivery.bench.processes import Fleet, Part
from delivery.bench.run import make_tenant, prepare, publish
from delivery.models import Attempt, Delivery, Dispatch
from delivery.states import DeliveryStatus
from eventcenter.models import EventType, Heartbeat
from eventcenter.worker import instance_name
from tests.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

EVENTS = 6_000
# Slow enough that the worker has a thousand waiting and dozens in flight when it is stopped; fast enough that it does not
# take the receiver for a slow one and puts deliveries back by itself.
ANSWER_MS = 20.0
SOON_S = 2.0


@pytest.fixture
def sink(fleet: Fleet) -> str:
    return fleet.start_sink(delay_ms=ANSWER_MS)


@pytest.fixture
def worker(fleet: Fleet, sink: str, event_types: list[EventType]) -> Part:
    """A worker in the middle of its work, and a sweep; nobody else sends yet."""
    make_tenant("acme", f"{sink}/hook", 1)
    fleet.start_sweep()
    fleet.start_consumer()
    worker = fleet.start_worker("worker")
    assert publish(prepare("acme", EVENTS), rate=0) == EVENTS
    eventually(lambda: stats(sink)["unique"] >= 500, timeout=60, every_s=0.02)
    return worker


def stats(sink: str) -> dict[str, Any]:
    counted: dict[str, Any] = requests.get(f"{sink}/stats", timeout=30).json()
    return counted


def instance_of(part: Part) -> str:
    return instance_name().rpartition(":")[0] + f":{part.process.pid}"


def stop(part: Part) -> int:
    part.process.send_signal(signal.SIGTERM)
    return part.process.wait(40)


def test_work_in_flight_is_finished_and_the_rest_is_free_at_once_when_a_worker_is_stopped(
    worker: Part, sink: str, fleet: Fleet
) -> None:
    fleet.parts["sweep"].stop()  # what is found below is what the worker left
    assert stop(worker) == 0

    assert not Dispatch.objects.filter(claimed_by=instance_of(worker)).exists()
    eventually(lambda: Delivery.objects.count() == EVENTS, timeout=30)
    left = Delivery.objects.exclude(status=DeliveryStatus.DELIVERED)
    dispatched = {key for ids in Dispatch.objects.values_list("delivery_ids", flat=True) for key in ids}
    waiting = set(left.values_list("id", flat=True)) - dispatched
    late = left.filter(id__in=waiting).exclude(due_at__lte=timezone.now() + timedelta(seconds=SOON_S))
    assert list(late.values_list("held_reason", "due_at")[:5]) == []
    # Whatever the receiver took is on record, and nothing was cut off.
    delivered = Delivery.objects.filter(status=DeliveryStatus.DELIVERED).count()
    assert (stats(sink)["unique"], stats(sink)["duplicates"]) == (delivered, 0)
    assert Attempt.objects.exclude(outcome="delivered").count() == 0
    assert 0 < delivered < EVENTS


def test_nothing_comes_twice_when_another_worker_takes_over_from_a_stopped_one(
    worker: Part, sink: str, fleet: Fleet
) -> None:
    other = fleet.start_worker("other")
    eventually(lambda: Heartbeat.objects.filter(instance=instance_of(other)).exists(), timeout=30)

    assert stop(worker) == 0
    eventually(lambda: stats(sink)["unique"] >= EVENTS, timeout=90, every_s=0.1)
    eventually(lambda: not Dispatch.objects.exists(), timeout=30)

    assert stats(sink)["duplicates"] == 0
    assert Attempt.objects.count() == Delivery.objects.filter(status=DeliveryStatus.DELIVERED).count() == EVENTS
