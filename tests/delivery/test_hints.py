from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
import redis
from django.utils import timezone

from config.stack.services import Services
from delivery import hints
from delivery.hints import publish
from delivery.models import Delivery, Dispatch
from delivery.queue_order import QUEUE_PREFIX
from delivery.states import DeliveryStatus
from delivery.store import Hint
from delivery.tasks import run_dispatch
from tests.delivery.bus_messages import ingest_now, on_bus, release
from tests.delivery.conftest import HintsIn
from tests.delivery.worker.desk import Desk, Make
from tests.factories import SubscriptionFactory, TenantFactory
from tests.fakes.receiver import Answer, Receiver

pytestmark = pytest.mark.usefixtures("empty_queues")


def test_hint_is_in_the_queue_of_its_lane(hints_in: HintsIn) -> None:
    publish([Hint("fast", 1, 0), Hint("slow", 2, 5), Hint("fast", 3, 1)])
    assert hints_in("fast") == [[1, 0], [3, 1]]
    assert hints_in("slow") == [[2, 5]]
    assert hints_in("retry") == []


def test_message_names_the_task_that_workers_know(redis_client: redis.Redis) -> None:
    publish([Hint("retry", 1, 0, countdown_s=60)])
    message = json.loads(redis_client.lindex(QUEUE_PREFIX + "retry", 0))
    assert message["headers"]["task"] == hints.TASK
    assert run_dispatch.name == message["headers"]["task"]
    eta = datetime.fromisoformat(message["headers"]["eta"])
    wait_s = (eta.replace(tzinfo=eta.tzinfo or UTC) - timezone.now()).total_seconds()
    assert 50 < wait_s <= 60
    assert json.loads(base64.b64decode(message["body"]))[0] == [1, 0]


def test_message_is_to_be_run_at_once_when_it_has_no_countdown(redis_client: redis.Redis) -> None:
    publish([Hint("fast", 1, 0)])
    assert json.loads(redis_client.lindex(QUEUE_PREFIX + "fast", 0))["headers"]["eta"] is None


def test_nothing_is_asked_of_redis_when_there_are_no_hints(hints_in: HintsIn) -> None:
    publish([])
    assert hints_in("fast") == []


def test_publishing_goes_on_when_redis_was_away(services: Services, hints_in: HintsIn) -> None:
    publish([Hint("fast", 1, 0)])
    services.valkey.stop()
    try:
        publish([Hint("fast", 2, 0)])
        publish([Hint("fast", 3, 0), Hint("slow", 4, 0)])
    finally:
        services.valkey.start()
    publish([Hint("fast", 5, 0)])
    assert hints_in("fast")[-1] == [5, 0]
    assert [2, 0] not in hints_in("fast")
    assert [3, 0] not in hints_in("fast")


@pytest.mark.django_db
@pytest.mark.usefixtures("event_types")
def test_event_is_kept_when_redis_is_away(services: Services) -> None:
    SubscriptionFactory(endpoint__tenant=TenantFactory(slug="acme"))
    services.valkey.stop()
    try:
        assert ingest_now(on_bus(release("acme"))).deliveries == 1
    finally:
        services.valkey.start()
    assert Dispatch.objects.get().delivery_ids == [Delivery.objects.get().pk]


@pytest.mark.django_db(transaction=True)
def test_retry_is_kept_when_redis_is_away(desk: Desk, make: Make, receiver: Receiver, services: Services) -> None:
    receiver.script("/hook", Answer(500))
    delivery = make()
    services.valkey.stop()
    try:
        desk.deliver(delivery)
        desk.close()
    finally:
        services.valkey.start()
    assert (delivery.state, delivery.attempts) == (DeliveryStatus.RETRYING, 1)
    assert Dispatch.objects.get().delivery_ids == [delivery.pk]
