"""`manage.py consume_events` on a real topic: what it plans. (What it reads and commits: tests/eventcenter.)"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer

from config.stack.services import Services
from delivery.management.commands.consume_events import Command
from delivery.models import Delivery, Dispatch
from eventcenter.bus import kafka_config
from eventcenter.envelope import Envelope, partition_key, to_kafka
from eventcenter.models import ConsumerOffset, Event, RejectedEvent
from subscriptions.models import Subscription
from tests.delivery.bus_messages import release
from tests.delivery.conftest import HintsIn
from tests.delivery.refusing import refusing
from tests.delivery.worker.desk import stuck
from tests.factories import SubscriptionFactory, TenantFactory
from tests.waiting import eventually

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("event_types", "empty_queues"),
]
Write = Callable[[Envelope], None]


@pytest.fixture
def acme() -> str:
    SubscriptionFactory(endpoint__tenant=TenantFactory(slug="acme"))
    return "acme"


@pytest.fixture
def write(topic: str) -> Write:
    """Writes an event to the topic as a pipeline does."""
    producer = Producer(kafka_config())

    def write_one(event: Envelope) -> None:
        headers, value = to_kafka(event)
        producer.produce(topic, key=partition_key(event), value=value, headers=[*headers])
        assert producer.flush(10) == 0

    return write_one


@pytest.fixture
def new_consumer(topic: str) -> Iterator[Callable[[], Command]]:
    opened: list[Command] = []

    def open_one() -> Command:
        command = Command()
        command.open()
        opened.append(command)
        return command

    yield open_one
    for command in opened:
        command.close()


def committed() -> int:
    return sum(ConsumerOffset.objects.values_list("next_offset", flat=True))


def steps_until(offset: int, *consumers: Command) -> None:
    def reached() -> bool:
        for consumer in consumers:
            consumer.step()
        return committed() >= offset

    eventually(reached, every_s=0)


def test_deliveries_are_planned_and_hinted_when_events_are_on_the_bus(
    acme: str, write: Write, new_consumer: Callable[[], Command], hints_in: HintsIn
) -> None:
    events = [release(acme, subject=f"plugin-{number}") for number in range(5)]
    for event in events:
        write(event)
    steps_until(5, new_consumer())
    assert set(Event.objects.values_list("producer_id", flat=True)) == {event.id for event in events}
    assert Delivery.objects.count() == 5
    assert sorted(hints_in("fast")) == sorted([row.pk, 0] for row in Dispatch.objects.all())
    assert not stuck()


def test_everything_is_planned_once_when_consumers_come_and_go(
    acme: str, write: Write, new_consumer: Callable[[], Command]
) -> None:
    for number in range(20):
        write(release(acme, subject=f"plugin-{number}"))
    first = new_consumer()
    steps_until(1, first)
    second = new_consumer()
    for number in range(20):
        write(release(acme, subject=f"later-{number}"))
    steps_until(40, first, second)
    assert Event.objects.count() == Delivery.objects.count() == 40
    assert not RejectedEvent.objects.exists()


def test_subscription_is_followed_when_it_is_made_while_the_consumer_runs(
    acme: str, write: Write, new_consumer: Callable[[], Command]
) -> None:
    consumer = new_consumer()
    write(release(acme))
    steps_until(1, consumer)
    assert Delivery.objects.count() == 1
    SubscriptionFactory(endpoint=Subscription.objects.get().endpoint)

    def doubled() -> bool:
        write(release(acme))
        consumer.step()
        latest = Event.objects.order_by("-id").first()
        return latest is not None and latest.deliveries.count() == 2

    eventually(doubled, timeout=5)


def test_events_go_on_when_redis_is_away(
    acme: str, write: Write, new_consumer: Callable[[], Command], services: Services
) -> None:
    consumer = new_consumer()
    services.valkey.stop()
    try:
        write(release(acme))
        steps_until(1, consumer)
        write(release(acme))
        steps_until(2, consumer)
    finally:
        services.valkey.start()
    assert Event.objects.count() == Delivery.objects.count() == 2
    assert not stuck()


@pytest.mark.parametrize("sqlstate", ["22000", "23000"], ids=["data", "integrity"])
def test_one_is_kept_aside_when_the_database_refuses_its_delivery(
    acme: str, write: Write, new_consumer: Callable[[], Command], sqlstate: str
) -> None:
    """As when two messages claim one id in a way that no rule of ours foresaw."""
    for name in ("first", "poison", "last"):
        write(release(acme, id=name, subject="one-plugin"))
    with refusing("eventcenter_event", "NEW.producer_id = 'poison'", sqlstate):
        steps_until(3, new_consumer())
    assert set(Event.objects.values_list("producer_id", flat=True)) == {"first", "last"}
    assert Delivery.objects.count() == 2
    rejected = RejectedEvent.objects.get()
    assert (rejected.reason, bytes(rejected.value)) == ("unstorable", to_kafka(release(acme))[1])
