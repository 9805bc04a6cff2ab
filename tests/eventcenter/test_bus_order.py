"""Events of one key that were published one after the other stand in that order on the bus, whoever sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from config.stack.services import Services
from eventcenter import bus, store
from eventcenter.bus import EVENT_ID_HEADER, OutboxEntry, OutboxProducer, new_producer, produce_and_wait
from eventcenter.envelope import partition_key, to_kafka, to_structured
from eventcenter.ids import new_id
from eventcenter.models import OutboxMessage
from eventcenter.publishing import key_digest
from eventcenter.relay import OutboxRelay
from eventcenter.store import Accepted
from tests.delivery.bus_messages import release
from tests.eventcenter.conftest import Consumers
from tests.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]

MakeProducer = Callable[[], OutboxProducer]


def publish(subject: str = "one", count: int = 1) -> list[OutboxEntry]:
    """Accepted and committed, one after the other, and not sent yet."""
    entries = []
    for _ in range(count):
        event, event_id = release("acme", subject=subject), new_id()
        key = partition_key(event)
        store.accept([Accepted(key_digest("acme", event.id), event_id, key, to_structured(event))])
        entries.append((event_id, key, *to_kafka(event)))
    return entries


def ids(entries: Sequence[OutboxEntry]) -> list[UUID]:
    return [entry[0] for entry in entries]


@pytest.fixture
def new_process(topic: str) -> Iterator[MakeProducer]:
    """The producer of one more web process."""
    made: list[OutboxProducer] = []

    def make() -> OutboxProducer:
        made.append(OutboxProducer())
        return made[-1]

    yield make
    for producer in made:
        producer.close(1)


@pytest.fixture
def on_the_bus(consumers: Consumers) -> Callable[[Sequence[OutboxEntry]], list[UUID]]:
    """Reads until all of these are there. The events' ids in the order of their first copies."""
    consumer, found = consumers.new(), dict[UUID, None]()

    def read(entries: Sequence[OutboxEntry]) -> list[UUID]:
        def complete() -> bool:
            for message in consumer.read(500, 0.2, 0.05):
                found[UUID(hex=dict(message.headers or ())[EVENT_ID_HEADER].decode())] = None  # type: ignore[union-attr]
            return set(ids(entries)) <= found.keys()

        eventually(complete, timeout=30, every_s=0)
        return list(found)

    return read


OnTheBus = Callable[[Sequence[OutboxEntry]], list[UUID]]


def test_order_is_kept_when_one_process_sends_many(new_process: MakeProducer, on_the_bus: OnTheBus) -> None:
    entries = publish(count=300)

    new_process().send(entries)

    assert on_the_bus(entries) == ids(entries)
    eventually(lambda: not OutboxMessage.objects.exists())


def test_event_waits_when_another_process_has_not_brought_the_one_before_it_to_kafka(
    new_process: MakeProducer, on_the_bus: OnTheBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "TURN_WAIT_S", 60.0)
    slow, fast = new_process(), new_process()
    (first,), (second,) = publish(), publish()
    (other,) = publish("two")
    fast.send([second, other])
    assert on_the_bus([other]) == [other[0]]

    slow.send([first])

    assert on_the_bus([first, second]) == [other[0], first[0], second[0]]
    eventually(lambda: not OutboxMessage.objects.exists())


def test_order_is_kept_when_two_processes_take_turns(
    new_process: MakeProducer, on_the_bus: OnTheBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "TURN_WAIT_S", 60.0)  # on a busy machine too, nothing is left to a relay
    processes = [new_process(), new_process()]
    entries: list[OutboxEntry] = []
    for number in range(200):
        entries += publish()
        processes[number % 2].send(entries[-1:])

    assert on_the_bus(entries) == ids(entries)


def test_relay_sends_both_in_order_when_the_first_ones_process_died(
    new_process: MakeProducer, on_the_bus: OnTheBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "TURN_WAIT_S", 0.0)
    monkeypatch.setattr("eventcenter.relay.LEFT_ALONE", -timedelta(seconds=1))
    process = new_process()
    (first,), (second,) = publish(), publish()
    process.send([second])
    eventually(lambda: not process._waiters)
    assert OutboxMessage.objects.count() == 2

    assert OutboxRelay(lambda: True).step() is False

    assert on_the_bus([first, second]) == [first[0], second[0]]
    assert process.close(5) == 0


def test_order_is_kept_when_kafka_was_away(
    services: Services, new_process: MakeProducer, on_the_bus: OnTheBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them send what they have as soon as Kafka is back: copies, and no first copy before its time."""
    monkeypatch.setattr("eventcenter.relay.LEFT_ALONE", -timedelta(seconds=1))
    processes = [new_process(), new_process()]
    before = publish()
    processes[0].send(before)
    eventually(lambda: not OutboxMessage.objects.exists())
    services.kafka.stop()
    entries: list[OutboxEntry] = []
    try:
        for number in range(40):
            entries += publish(f"plugin-{number % 3}")
            processes[number % 2].send(entries[-1:])
    finally:
        services.kafka.start()
    relay = OutboxRelay(lambda: True)

    eventually(lambda: relay.step() or not OutboxMessage.objects.exists(), timeout=60)

    order = on_the_bus(entries)
    for number in range(3):
        mine = ids([entry for entry in entries if entry[1].endswith(f"plugin-{number}")])
        assert [event_id for event_id in order if event_id in mine] == mine


def test_what_kafka_did_not_take_is_withdrawn_when_the_relays_patience_ends(
    services: Services, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "GROUP_PATIENCE_S", 0.2)
    producer = new_producer()
    services.kafka.stop()
    try:
        assert produce_and_wait(producer, publish(count=5), lambda: True) == []
        assert len(producer) == 0
    finally:
        services.kafka.start()
    assert OutboxMessage.objects.count() == 5
