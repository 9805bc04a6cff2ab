"""The registry, and a delivery of each channel on its whole way: runner, transport, recorder."""

from __future__ import annotations

import json
import threading
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pytest_django import Settings

from delivery.models import Attempt, Delivery, FeedItem
from delivery.states import DeliveryStatus
from delivery.transports.base import Gate
from delivery.transports.registry import CHANNELS, make_transports
from eventcenter.bus import kafka_config
from eventcenter.crypto import seal
from subscriptions.channels.registry import SPECS
from subscriptions.models import Channel, Endpoint
from tests.delivery.worker.desk import Desk, make_delivery
from tests.fakes.pagerduty import PagerDuty


def test_every_channel_has_its_parts_and_its_settings() -> None:
    assert set(CHANNELS) == set(Channel.values) == {channel.value for channel in SPECS}


def test_transports_start_nothing_before_they_are_used() -> None:
    before = threading.active_count()
    transports = make_transports(Gate())
    assert set(transports) == set(Channel.values)
    assert threading.active_count() == before
    for transport in transports.values():
        transport.close(0.1)


def to_channel(channel: str, config: dict[str, object] | None = None, **credentials: str) -> Delivery:
    sealed = seal(json.dumps(credentials), Endpoint.CREDENTIALS_PURPOSE) if credentials else None
    changes = {"channel": channel, "config": config or {}, "sealed_credentials": sealed}
    return make_delivery("", **{f"endpoint__{name}": value for name, value in changes.items()})


def attempt_of(delivery: Delivery) -> Attempt:
    return Attempt.objects.get(delivery_id=delivery.pk)


@pytest.mark.kafka
def test_delivery_to_a_kafka_topic_is_recorded(desk: Desk) -> None:
    name = f"sink-{uuid4().hex[:12]}"
    admin = AdminClient(kafka_config())
    for future in admin.create_topics([NewTopic(name, 1, 1)]).values():
        future.result(timeout=30)
    delivery = to_channel("kafka", {"cluster": "bus", "topic": name})
    desk.deliver(delivery)
    assert delivery.state is DeliveryStatus.DELIVERED
    assert ["kafka-offset", "0"] in attempt_of(delivery).response_headers


def test_delivery_to_an_exchange_is_recorded(desk: Desk, rabbitmq_url: str) -> None:
    delivery = to_channel("amqp", {"routing_key": "no-such-queue"}, url=rabbitmq_url)
    desk.deliver(delivery)
    assert delivery.state is DeliveryStatus.RETRYING
    assert "no queue is bound" in attempt_of(delivery).error


def test_delivery_to_pagerduty_is_recorded(desk: Desk, settings: Settings) -> None:
    with PagerDuty() as pagerduty:
        settings.PAGERDUTY_EVENTS_URL = pagerduty.url
        delivery = to_channel("pagerduty", routing_key="R" * 32)
        desk.deliver(delivery)
        assert list(pagerduty.alerts) == [str(delivery.pk)]
    assert delivery.state is DeliveryStatus.DELIVERED
    assert attempt_of(delivery).status_code == 202


def test_delivery_to_the_console_is_recorded(desk: Desk) -> None:
    delivery = to_channel("console")
    desk.deliver(delivery)
    assert delivery.state is DeliveryStatus.DELIVERED
    assert delivery.attempts == 1
    item = FeedItem.objects.get()
    assert (item.pk, item.event_id, item.tenant_id) == (delivery.pk, delivery.event_id, delivery.tenant_id)
