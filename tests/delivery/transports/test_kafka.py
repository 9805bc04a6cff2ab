"""The Kafka channel against the run's broker."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from django.conf import settings as django_settings
from pytest_django import Settings

from delivery.outcome import ErrorKind, OutcomeKind
from delivery.transports.base import Gate
from delivery.transports.front import Front
from delivery.transports.kafka.request import DELIVERY_ID_HEADER, REPLAY_HEADER, build
from delivery.transports.kafka.transport import failure
from delivery.transports.kafka.transport import transport as kafka_transport
from eventcenter.bus import kafka_config
from eventcenter.envelope import parse_kafka
from tests.delivery.transports.sinks import DATA, TRACEPARENT, event_body, make_sending, make_sink, send_one
from tests.fakes.inbox import Outcomes
from tests.waiting import eventually

pytestmark = pytest.mark.kafka

Read = Callable[[int], list[Message]]


@pytest.fixture
def sink_topic() -> str:
    """A topic of this test alone, not the one of our events."""
    name = f"sink-{uuid4().hex[:12]}"
    admin = AdminClient(kafka_config())  # kept: its futures end with it
    for future in admin.create_topics([NewTopic(name, 3, 1)]).values():
        future.result(timeout=30)
    return name


@pytest.fixture
def read(sink_topic: str) -> Iterator[Read]:
    consumer = Consumer(kafka_config(**{"group.id": sink_topic, "auto.offset.reset": "earliest"}))
    consumer.subscribe([sink_topic])

    def messages(count: int) -> list[Message]:
        found: list[Message] = []
        for _ in range(100):
            found += [message for message in consumer.consume(count, timeout=0.2) if message.error() is None]
            if len(found) >= count:
                return found
        raise AssertionError(f"{len(found)} of {count} messages came")

    yield messages
    consumer.close()


@pytest.fixture
def transport() -> Iterator[Front]:
    opened = kafka_transport(Gate())
    yield opened
    opened.close(0.5)


def headers_of(message: Message) -> dict[str, str]:
    return {name: value.decode() for name, value in message.headers() or []}


def test_binary_event_arrives_with_ce_headers_when_asked_for(transport: Front, sink_topic: str, read: Read) -> None:
    sink = make_sink("kafka", config={"topic": sink_topic}, content_mode="binary")
    sending = make_sending()
    outcome = send_one(transport, build(sink, sending))
    (message,) = read(1)
    headers = headers_of(message)
    assert outcome.kind is OutcomeKind.DELIVERED
    assert json.loads(message.value() or b"") == DATA
    assert headers["ce_type"] == "plugin.release.published"
    assert headers["content-type"] == "application/json"
    assert headers[DELIVERY_ID_HEADER] == str(sending.delivery_id)
    assert headers["traceparent"] == TRACEPARENT
    assert REPLAY_HEADER not in headers
    assert message.key() == b"payments-gateway"
    assert parse_kafka(message.headers(), message.value()).subject == "payments-gateway"
    assert dict(outcome.response_headers)["kafka-offset"] == str(message.offset())


def test_structured_event_is_the_value_when_nothing_else_is_said(transport: Front, sink_topic: str, read: Read) -> None:
    body = event_body()
    outcome = send_one(
        transport, build(make_sink("kafka", config={"topic": sink_topic}), make_sending(body, replay=True))
    )
    (message,) = read(1)
    headers = headers_of(message)
    assert outcome.kind is OutcomeKind.DELIVERED
    assert message.value() == body
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers[REPLAY_HEADER] == "true"
    assert parse_kafka(message.headers(), message.value()).id == "release-1"


@pytest.mark.parametrize(
    ("choice", "attributes", "key"),
    [
        ("partition", {"partitionkey": "eu"}, b"eu"),
        ("partition", {}, b"payments-gateway"),
        ("subject", {"partitionkey": "eu"}, b"payments-gateway"),
        ("none", {"partitionkey": "eu"}, None),
    ],
)
def test_key_is_what_the_endpoint_chose(choice: str, attributes: dict[str, str], key: bytes | None) -> None:
    sink = make_sink("kafka", config={"topic": "t", "key": choice})
    assert build(sink, make_sending(event_body(**attributes))).key == key


def test_many_messages_each_arrive_once(transport: Front, sink_topic: str, read: Read) -> None:
    sink = make_sink("kafka", config={"topic": sink_topic})
    messages = [build(sink, make_sending()) for _ in range(500)]
    outcomes = Outcomes()
    transport.send(messages, outcomes.record)
    assert {outcome.kind for _, outcome in outcomes.wait_for(500)} == {OutcomeKind.DELIVERED}
    arrived = [headers_of(message)[DELIVERY_ID_HEADER] for message in read(500)]
    assert sorted(arrived) == sorted(str(message.delivery_id) for message in messages)


@pytest.mark.skipif(os.environ.get("STACK_KAFKA") != "apache", reason="the embedded broker makes topics by itself")
def test_topic_that_is_not_there_fails_and_may_be_retried(transport: Front) -> None:
    name = f"missing-{uuid4().hex[:8]}"
    outcome = send_one(transport, build(make_sink("kafka", config={"topic": name}), make_sending()))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.BROKER)
    assert outcome.error == "the cluster has no such topic"


@pytest.mark.parametrize(
    ("code", "kind", "error_kind", "words"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, OutcomeKind.FAILED, ErrorKind.BROKER, "the cluster has no such topic"),
        (KafkaError._UNKNOWN_TOPIC, OutcomeKind.FAILED, ErrorKind.BROKER, "the cluster has no such topic"),
        (KafkaError._MSG_TIMED_OUT, OutcomeKind.FAILED, ErrorKind.TIMEOUT, "the cluster did not confirm within 5 s"),
        (KafkaError._TRANSPORT, OutcomeKind.FAILED, ErrorKind.BROKER, "no broker of the cluster can be reached"),
        (KafkaError.NOT_ENOUGH_REPLICAS, OutcomeKind.FAILED, ErrorKind.BROKER, "the cluster refused: "),
    ],
)
def test_what_the_cluster_s_admin_can_mend_is_tried_again(
    code: int, kind: OutcomeKind, error_kind: ErrorKind, words: str
) -> None:
    outcome = failure(KafkaError(code), 5.0)
    assert (outcome.kind, outcome.error_kind) == (kind, error_kind)
    assert outcome.error.startswith(words)


def test_cluster_that_is_away_fails_at_the_endpoint_s_timeout(transport: Front, settings: Settings) -> None:
    settings.KAFKA_CHANNEL_CLUSTERS = {"away": "127.0.0.1:1"}
    sink = make_sink("kafka", config={"cluster": "away", "topic": "t"}, timeout_s=1)
    outcome = send_one(transport, build(sink, make_sending()))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.TIMEOUT)
    assert outcome.error == "the cluster did not confirm within 1 s"


@pytest.mark.parametrize("config", [{"cluster": "elsewhere", "topic": "t"}, {"topic": "no/topic"}, {}])
def test_settings_that_got_past_the_form_send_nothing(transport: Front, config: dict[str, str]) -> None:
    outcome = send_one(transport, build(make_sink("kafka", config=config), make_sending()))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.PERMANENT, ErrorKind.BROKER)


def test_our_own_events_topic_is_never_written_to(transport: Front, topic: str) -> None:
    outcome = send_one(transport, build(make_sink("kafka", config={"topic": topic}), make_sending()))
    assert outcome.kind is OutcomeKind.PERMANENT
    assert eventually(lambda: ends_of(topic)) == [0] * django_settings.KAFKA_EVENTS_PARTITIONS


def ends_of(topic: str) -> list[int]:
    """Of each partition; empty while a new topic's partitions have no leader."""
    watching = Consumer(kafka_config(**{"group.id": f"w-{topic}"}))
    try:
        return [
            watching.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
            for number in range(django_settings.KAFKA_EVENTS_PARTITIONS)
        ]
    except KafkaException:
        return []
    finally:
        watching.close()


def test_message_larger_than_the_topic_takes_is_final(transport: Front, sink_topic: str) -> None:
    message = build(make_sink("kafka", config={"topic": sink_topic}), make_sending())
    message.body = b"x" * (17 * 1024 * 1024)
    outcome = send_one(transport, message)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.PERMANENT, ErrorKind.BROKER)
    assert outcome.error == "the message is larger than the topic takes"


def test_no_producer_is_opened_before_the_first_send() -> None:
    opened = kafka_transport(Gate())
    assert not opened.is_started
    opened.close(0.1)
    outcome = send_one(opened, build(make_sink("kafka", config={"topic": "t"}), make_sending()))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.DEFERRED, ErrorKind.SHUTDOWN)


def test_close_reports_what_the_cluster_did_not_confirm(settings: Settings) -> None:
    settings.KAFKA_CHANNEL_CLUSTERS = {"away": "127.0.0.1:1"}
    opened = kafka_transport(Gate())
    sink = make_sink("kafka", config={"cluster": "away", "topic": "t"}, timeout_s=20)
    messages, outcomes = [build(sink, make_sending()) for _ in range(10)], Outcomes()
    opened.send(messages, outcomes.record)
    opened.close(0.1)
    kinds = {(outcome.kind, outcome.error_kind) for _, outcome in outcomes.wait_for(10)}
    assert kinds <= {(OutcomeKind.FAILED, ErrorKind.SHUTDOWN), (OutcomeKind.DEFERRED, ErrorKind.SHUTDOWN)}
