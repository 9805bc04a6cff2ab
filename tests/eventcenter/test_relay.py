"""What stayed in the outbox reaches Kafka, for as long as it takes; nothing is lost or doubled over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management import call_command
from django.utils import timezone

from config.stack.services import Services
from eventcenter import bus, store
from eventcenter.bus import EVENT_ID_HEADER
from eventcenter.consumer import BusMessage
from eventcenter.envelope import Envelope, parse_structured, partition_key, to_kafka, to_structured
from eventcenter.models import Event, Heartbeat, IdempotencyKey, IngestCounter, OutboxMessage
from eventcenter.publishing import key_digest
from eventcenter.relay import GROUP_MOST, LEFT_ALONE, OutboxRelay
from eventcenter.store import Accepted
from tests.delivery.bus_messages import release
from tests.eventcenter.conftest import Consumers
from tests.eventcenter.sender import Sender, event, kept
from tests.factories import event_id_at
from tests.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]


def always() -> bool:
    return True


def accept(*events: Envelope, age: timedelta = LEFT_ALONE * 2) -> list[UUID]:
    """As the publish API does, without sending them."""
    rows = []
    for each in events:
        event_id = event_id_at(timezone.now() - age)
        rows.append(Accepted(key_digest("acme", each.id), event_id, partition_key(each), to_structured(each)))
    store.accept(rows)
    return [row.id for row in rows]


def own_id(message: BusMessage) -> UUID:
    assert message.headers is not None
    raw = dict(message.headers)[EVENT_ID_HEADER]
    assert raw is not None
    return UUID(hex=raw.decode())


@pytest.fixture
def on_the_bus(consumers: Consumers) -> Callable[[int], list[BusMessage]]:
    """The first messages of the topic, once there are so many."""

    def read(count: int) -> list[BusMessage]:
        consumer, found = consumers.new(), []  # type: ignore[var-annotated]

        def enough() -> bool:
            found.extend(consumer.read(count, 0.2, 0.05))
            return len(found) >= count

        eventually(enough, every_s=0)
        return list(found)

    return read


@pytest.fixture
def kafka_away(services: Services, topic: str) -> Iterator[Callable[[], None]]:
    """Kafka is stopped; the value starts it again."""
    services.kafka.stop()
    try:
        yield services.kafka.start
    finally:
        services.kafka.start()


def test_old_rows_are_sent_and_deleted(on_the_bus: Callable[[int], list[BusMessage]]) -> None:
    events = [release("acme", subject=f"s-{number}") for number in range(3)]
    ids = accept(*events)

    assert OutboxRelay(always).step() is False

    assert OutboxMessage.objects.count() == 0
    messages = {own_id(message): message for message in on_the_bus(3)}
    assert set(messages) == set(ids)
    for event_id, sent in zip(ids, events, strict=True):
        headers, value = to_kafka(sent)
        assert messages[event_id].value == value
        assert messages[event_id].headers == [*headers, (EVENT_ID_HEADER, event_id.hex.encode())]
        assert messages[event_id].key == f"acme|{sent.subject}".encode()
    assert IdempotencyKey.objects.count() == 3


def test_young_rows_are_left_to_the_process_that_took_them(topic: str) -> None:
    (young,) = accept(release("acme"), age=timedelta(0))

    assert OutboxRelay(always).step() is False

    assert OutboxMessage.objects.get().id == young


def test_next_group_is_asked_for_when_one_was_full(topic: str) -> None:
    accept(*[release("acme") for _ in range(GROUP_MOST + 1)])
    relay = OutboxRelay(always)

    assert relay.step() is True
    assert OutboxMessage.objects.count() == 1
    assert relay.step() is False
    assert OutboxMessage.objects.count() == 0


def test_order_is_kept_when_events_have_one_subject(on_the_bus: Callable[[int], list[BusMessage]]) -> None:
    ids = accept(*[release("acme", subject="one") for _ in range(50)])

    OutboxRelay(always).step()

    assert [own_id(message) for message in on_the_bus(50)] == sorted(ids)


def test_others_are_sent_when_one_row_cannot_be_read(on_the_bus: Callable[[int], list[BusMessage]]) -> None:
    broken = event_id_at(timezone.now() - timedelta(minutes=5))
    OutboxMessage.objects.create(id=broken, key="acme|p", body=b"{")
    (good,) = accept(release("acme"))

    OutboxRelay(always).step()

    assert OutboxMessage.objects.get().id == broken
    assert [own_id(message) for message in on_the_bus(1)] == [good]


def test_event_is_the_same_on_the_bus_whoever_sent_it(on_the_bus: Callable[[int], list[BusMessage]]) -> None:
    tricky = release("acme", subject="é 100%", data=b'{"n": 1.10e2, "s": "\\u00e9"}', extensions={"a": 1, "b": True})
    (event_id,) = accept(tricky)
    headers, value = to_kafka(tricky)
    bus.outbox_producer().send([(event_id, partition_key(tricky), headers, value)])
    assert bus.close_outbox_producer(10) == 0
    store.accept([Accepted(key_digest("acme", "again"), event_id, partition_key(tricky), to_structured(tricky))])

    OutboxRelay(always).step()

    direct, relayed = on_the_bus(2)
    assert (direct.key, direct.headers, direct.value) == (relayed.key, relayed.headers, relayed.value)
    assert parse_structured(to_structured(tricky)).data == direct.value


def test_rows_stay_when_the_relay_is_told_to_stop_while_kafka_is_away(kafka_away: Callable[[], None]) -> None:
    accept(release("acme"))
    goes_on = iter([True, False])

    assert OutboxRelay(lambda: next(goes_on)).step() is False

    assert OutboxMessage.objects.count() == 1
    assert next(goes_on, "asked twice") == "asked twice"


def test_event_is_ingested_once_when_kafka_was_away_at_its_publication(
    kafka_away: Callable[[], None], sender: Sender, consume_all: Callable[[int], None]
) -> None:
    receipts = [sender.structured(event(subject=f"s-{number}")).json()["events"][0] for number in range(5)]
    assert [receipt["duplicate"] for receipt in receipts] == [False] * 5
    # The process that took them dies with what it had not sent yet.
    assert bus.close_outbox_producer(timeout_s=0.1) == 5
    assert kept() == (5, 5)
    kafka_away()
    relay = OutboxRelay(always)

    eventually(lambda: relay.step() or OutboxMessage.objects.count() == 0)
    consume_all(5)

    assert {str(pk) for pk in Event.objects.values_list("id", flat=True)} == {receipt["id"] for receipt in receipts}
    assert IdempotencyKey.objects.filter(ingested_at=None).count() == 0


def test_event_is_ingested_once_when_two_relays_and_the_api_sent_it(
    sender: Sender, consume_all: Callable[[int], None]
) -> None:
    ids = accept(*[release("acme", id=f"e-{number}") for number in range(20)])
    before = {row.id: row for row in OutboxMessage.objects.all()}
    assert OutboxRelay(always).step() is False
    OutboxMessage.objects.bulk_create(before.values())  # as if the first had died before it deleted them
    assert OutboxRelay(always).step() is False
    for row in before.values():
        headers, value = to_kafka(parse_structured(bytes(row.body)))
        bus.outbox_producer().send([(row.id, row.key, headers, value)])
    assert bus.close_outbox_producer(10) == 0

    consume_all(60)

    assert set(Event.objects.values_list("id", flat=True)) == set(ids)
    counted = IngestCounter.objects.values_list("ingested", "duplicates", "rejected")
    assert tuple(map(sum, zip(*counted, strict=True))) == (20, 40, 0)


def test_command_works_off_what_is_there_and_ends(topic: str, restored_signals: None) -> None:
    accept(release("acme"), release("acme"))

    call_command("relay_outbox", "--once")

    assert OutboxMessage.objects.count() == 0
    assert Heartbeat.objects.get().role == "relay"
