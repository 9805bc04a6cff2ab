"""The whole path with every process of ours: a signed publish goes in, a signed webhook comes out."""

from __future__ import annotations

from uuid import uuid4

import pytest
from confluent_kafka import Producer
from standardwebhooks.webhooks import Webhook

from config.stack.services import Services
from delivery.bench.events import release_events
from delivery.models import Delivery
from delivery.states import DeliveryStatus
from eventcenter.bus import kafka_config
from eventcenter.envelope import partition_key, to_kafka
from eventcenter.ids import derived_id
from eventcenter.models import Event, OutboxMessage
from eventcenter.standardwebhooks import generate_secret
from subscriptions.models import ContentMode, Endpoint, EndpointSecret
from tests.factories import (
    EndpointFactory,
    EndpointSecretFactory,
    SubscriptionFactory,
)
from tests.fakes.receiver import Received, Receiver
from tests.pipeline.publisher import TRACE, Publisher
from tests.waiting import eventually

pytestmark = pytest.mark.kafka


def verified(request: Received, secret: str) -> dict[str, object]:
    """The event in a delivery that the public package finds right."""
    verified_body: dict[str, object] = Webhook(secret).verify(request.body, request.header_map())
    return verified_body


def test_release_arrives_signed_when_it_is_published(
    publisher: Publisher, endpoint: Endpoint, receiver: Receiver
) -> None:
    secrets = [
        EndpointSecretFactory(endpoint=endpoint, secret=secret) and secret
        for secret in (generate_secret(), generate_secret())
    ]

    answer = publisher.publish(tags="stable,security")

    assert answer.status_code == 202
    receipt = answer.json()["events"][0]
    assert receipt["duplicate"] is False
    request = receiver.wait_for(1, timeout=20)[0]
    for secret in secrets:
        body = verified(request, secret)
        assert body["type"] == "plugin.release.published"
        assert body["tenant"] == "acme"
        assert body["data"]["version"] == "2.4.1"  # type: ignore[index]
    assert request.header("content-type") == "application/cloudevents+json; charset=utf-8"
    assert request.header("traceparent") == TRACE
    delivery = eventually(lambda: Delivery.objects.filter(status=DeliveryStatus.DELIVERED).first())
    assert request.header("webhook-id") == str(delivery.id)
    assert str(delivery.event_id) == receipt["id"]
    assert delivery.id == derived_id(delivery.event_id, delivery.subscription_id)
    attempt = delivery.attempt_rows.get()
    assert (attempt.status_code, attempt.outcome, attempt.remote_address) == (
        204,
        "delivered",
        f"127.0.0.1:{receiver.port}",
    )
    assert OutboxMessage.objects.count() == 0


def test_repeat_is_told_and_not_delivered_again_when_the_same_event_comes_twice(
    publisher: Publisher, receiver: Receiver
) -> None:
    event_id = str(uuid4())
    first = publisher.publish(id=event_id).json()["events"][0]
    receiver.wait_for(1, timeout=20)

    second = publisher.publish(id=event_id).json()["events"][0]
    publisher.publish(subject="marker")
    receiver.wait_for(2, timeout=20)

    assert second == {"id": first["id"], "duplicate": True}
    assert Event.objects.count() == 2


def test_event_of_a_pipeline_is_delivered_when_it_was_written_to_the_topic_directly(
    publisher: Publisher, endpoint: Endpoint, receiver: Receiver, topic: str
) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(content_mode=ContentMode.BINARY)
    secret = generate_secret()
    EndpointSecretFactory(endpoint=endpoint, secret=secret)
    event = next(release_events("acme"))
    headers, value = to_kafka(event)
    producer = Producer(kafka_config())

    producer.produce(topic, key=partition_key(event), value=value, headers=[*headers])
    producer.produce(topic, key="odd", value=b"not an event")
    assert producer.flush(10) == 0

    request = receiver.wait_for(1, timeout=20)[0]
    Webhook(secret).verify(request.body, request.header_map())
    assert (request.header("ce-id"), request.header("ce-tenant")) == (event.id, "acme")
    assert request.body == event.data


def test_event_is_delivered_once_kafka_is_back_when_it_was_published_without_kafka(
    publisher: Publisher, receiver: Receiver, services: Services
) -> None:
    publisher.publish(subject="before")
    receiver.wait_for(1, timeout=20)
    services.kafka.stop()
    try:
        answers = [publisher.publish(subject=f"during-{number}") for number in range(5)]
        assert [answer.status_code for answer in answers] == [202] * 5
        assert OutboxMessage.objects.count() == 5
    finally:
        services.kafka.start()

    ids = {answer.json()["events"][0]["id"] for answer in answers}
    receiver.wait_for(6, timeout=60)
    eventually(lambda: OutboxMessage.objects.count() == 0, timeout=30)
    assert set(map(str, Event.objects.filter(subject__startswith="during").values_list("id", flat=True))) == ids
    assert len(receiver.requests) == 6


def test_change_of_a_subscription_is_followed_when_processes_run(
    publisher: Publisher, endpoint: Endpoint, receiver: Receiver
) -> None:
    publisher.publish(subject="first")
    receiver.wait_for(1, timeout=20)
    other = EndpointFactory(tenant=endpoint.tenant, url=receiver.url("/other"))
    SubscriptionFactory(tenant=endpoint.tenant, endpoint=other, types=["plugin.release.published"])

    def reached() -> bool:
        publisher.publish(subject="again")
        return bool(receiver.requests_to("/other"))

    eventually(reached, timeout=20, every_s=0.5)
    assert EndpointSecret.objects.filter(endpoint=other).count() == 0
