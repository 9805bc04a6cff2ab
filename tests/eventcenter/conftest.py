"""The bus as tests of eventcenter use it: a sender to the publish API, a pipeline that writes to the topic, the consumer."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer
from django.db import connection

from delivery.management.commands.consume_events import Command
from eventcenter import bus
from eventcenter.consumer import BusConsumer
from eventcenter.envelope import Envelope, partition_key, to_kafka
from eventcenter.models import ConsumerOffset, EventType
from tests.eventcenter.sender import Sender, new_sender
from tests.waiting import eventually

Headers = list[tuple[str, str | bytes | None]]


class Pipeline:
    """Writes to the test's topic as a release pipeline does, without the publish API."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._producer = Producer(bus.kafka_config())
        self.count = 0

    def write(self, value: bytes | None, headers: Headers | None = None, key: str | None = None, **more: int) -> None:
        self._producer.produce(self.topic, key=key, value=value, headers=headers or [], **more)
        self.count += 1
        assert self._producer.flush(10) == 0

    def write_event(self, event: Envelope, extra: Headers | None = None) -> None:
        headers, value = to_kafka(event)
        self.write(value, [*headers, *(extra or [])], partition_key(event))


class Consumers:
    """Makes consumers of the test's topic and closes them."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._open: list[BusConsumer] = []

    def new(self, group: str = "") -> BusConsumer:
        made = BusConsumer(self.topic, group or self.topic)
        self._open.append(made)
        return made

    def close(self, consumer: BusConsumer) -> None:
        self._open.remove(consumer)
        consumer.close()

    def close_all(self) -> None:
        for consumer in list(self._open):
            self.close(consumer)


@pytest.fixture
def sender(event_types: list[EventType], topic: str) -> Iterator[Sender]:
    """Of the tenant acme."""
    yield new_sender()
    bus.close_outbox_producer(timeout_s=10)


@pytest.fixture
def restored_signals() -> Iterator[None]:
    """A command of ours takes the process's signals; the test run wants them back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def pipeline(topic: str) -> Pipeline:
    return Pipeline(topic)


@pytest.fixture
def consumers(transactional_db: None, topic: str) -> Iterator[Consumers]:
    made = Consumers(topic)
    yield made
    made.close_all()


@pytest.fixture
def command(transactional_db: None, topic: str) -> Iterator[Command]:
    """`manage.py consume_events`, step by step."""
    made = Command()
    made.open()
    yield made
    made.close()


@pytest.fixture
def consume_all(command: Command, topic: str) -> Callable[[int], None]:
    """Steps until PostgreSQL's offsets stand behind as many messages as the topic was given."""

    def consume(messages: int) -> None:
        def done() -> bool:
            command.step()
            rows = ConsumerOffset.objects.filter(topic=topic)
            return sum(rows.values_list("next_offset", flat=True)) >= messages

        eventually(done, every_s=0)

    return consume


@pytest.fixture
def refusing_subjects(transactional_db: None) -> Iterator[Callable[[], None]]:
    """PostgreSQL answers an event of the subject "refuse-SQLSTATE" with that error, until the fixture's value is called."""

    def stop() -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION IF EXISTS refuse_subject() CASCADE")

    with connection.cursor() as cursor:
        body = "BEGIN RAISE EXCEPTION 'refused by the test' USING ERRCODE = substr(NEW.subject, 8); END"
        cursor.execute(f"CREATE FUNCTION refuse_subject() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        cursor.execute(
            "CREATE TRIGGER refuse_subject BEFORE INSERT ON eventcenter_event FOR EACH ROW"
            " WHEN (starts_with(NEW.subject, 'refuse-')) EXECUTE FUNCTION refuse_subject()"
        )
    yield stop
    stop()
