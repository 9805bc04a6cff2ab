from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
import redis
from confluent_kafka import Producer
from django.utils import timezone
from pytest_django import Settings

from config.stack.services import Services
from delivery.models import Breaker, Dispatch, OrderedDelivery
from delivery.queue_order import QUEUE_PREFIX
from delivery.telemetry import gauges
from eventcenter.bus import kafka_config
from eventcenter.ids import new_id
from eventcenter.models import ConsumerOffset, OutboxMessage
from tests.factories import DeliveryFactory, EndpointFactory

pytestmark = pytest.mark.django_db


def test_an_idle_deployment_has_nothing_that_waits(topic: str, empty_queues: None) -> None:
    found = gauges.read(timezone.now())
    assert (found.oldest_due_s, found.outbox_depth, found.outbox_age_s) == (0, 0, 0)
    assert (found.consumer_lag, found.in_flight, found.open_dispatches, found.held) == (0, 0, 0, {})
    assert found.queue_depth is not None
    assert set(found.queue_depth.values()) == {0}
    assert found.breakers == {"closed": 0, "open": 0, "half_open": 0}


def test_what_waits_is_counted_by_its_reason() -> None:
    now = timezone.now()
    for reason in ("breaker_open", "breaker_open", "rate_limit", ""):
        waiting = DeliveryFactory(retrying=True)
        type(waiting).objects.filter(pk=waiting.pk).update(held_reason=reason, due_at=now - timedelta(seconds=90))
    for place, key in enumerate((1, 1, 1, 2)):
        OrderedDelivery.objects.create(order_key=UUID(int=key), subscription_id=1, delivery_id=UUID(int=place))
    found = gauges.read(now)
    assert found.held == {"breaker_open": 2, "rate_limit": 1, "ordering": 2}
    assert found.oldest_due_s == pytest.approx(90)


def test_deliveries_are_in_flight_when_a_worker_holds_their_dispatch() -> None:
    now = timezone.now()
    ids = [new_id() for _ in range(3)]
    Dispatch.objects.create(delivery_ids=ids, claimed_by="host:1", lease_until=now)
    Dispatch.objects.create(delivery_ids=ids[:1], lease_until=now, not_before=now - timedelta(seconds=60))
    found = gauges.read(now)
    assert (found.in_flight, found.open_dispatches) == (3, 2)
    assert found.oldest_due_s == pytest.approx(60)


def test_counts_stop_where_counting_on_would_cost_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "COUNT_MOST", 2)
    for _ in range(3):
        OutboxMessage.objects.create(id=new_id(), key="a|b", body=b"{}")
        Dispatch.objects.create(delivery_ids=[], lease_until=timezone.now())
        waiting = DeliveryFactory(retrying=True)
        type(waiting).objects.filter(pk=waiting.pk).update(held_reason="backlog")
    found = gauges.read(timezone.now())
    assert (found.outbox_depth, found.open_dispatches, found.held) == (2, 2, {"backlog": 2})
    assert 0 < found.outbox_age_s < 60


def test_endpoints_are_counted_by_the_state_of_their_breaker() -> None:
    for state in ("open", "half_open", "closed"):
        endpoint = EndpointFactory()
        Breaker.objects.create(endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id, state=state)
    EndpointFactory()
    assert gauges.read(timezone.now()).breakers == {"closed": 2, "open": 1, "half_open": 1}


def test_queue_depth_is_told_by_lane(redis_client: redis.Redis, empty_queues: None) -> None:
    redis_client.rpush(QUEUE_PREFIX + "retry", "a", "b")
    found = gauges.queue_depth()
    assert found is not None
    assert {lane: depth for lane, depth in found.items() if depth} == {"retry": 2}


def test_queue_depth_is_unknown_when_redis_is_away(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert gauges.queue_depth() is None


@pytest.mark.kafka
def test_lag_is_what_kafka_holds_behind_the_stored_offsets(topic: str) -> None:
    producer = Producer(kafka_config(acks="all"))
    for place in range(7):
        producer.produce(topic, b"x", partition=place % 2)
    assert producer.flush(10) == 0
    assert gauges.consumer_lag() == 7
    ConsumerOffset.objects.create(topic=topic, partition=0, next_offset=3)
    ConsumerOffset.objects.create(topic="another", partition=1, next_offset=1)
    assert gauges.consumer_lag() == 4
    ConsumerOffset.objects.filter(topic=topic).update(next_offset=4)
    assert gauges.consumer_lag() == 3


def test_lag_is_unknown_when_kafka_is_away(topic: str, services: Services) -> None:
    assert gauges.consumer_lag() == 0
    services.kafka.stop()
    try:
        assert gauges.consumer_lag() is None
    finally:
        services.kafka.start()
