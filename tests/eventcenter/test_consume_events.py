"""The consumer and the ingest as `manage.py consume_events` runs them: what happens to a batch when something gives way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError

from audit.trail import Actor
from delivery.management.commands.consume_events import Command
from delivery.models import Delivery
from eventcenter import bus, registry
from eventcenter.consumer import OffsetConflict
from eventcenter.models import (
    ConsumerOffset,
    Event,
    EventType,
    IngestCounter,
    OutboxMessage,
    RejectedEvent,
    RejectReason,
)
from eventcenter.reingest import reingest
from subscriptions.models import Tenant
from tests.delivery.bus_messages import release
from tests.eventcenter.conftest import Pipeline
from tests.eventcenter.reading import read, stored
from tests.eventcenter.sender import Sender, event
from tests.factories import SubscriptionFactory, TenantFactory
from tests.fakes.raw_kafka import produce_raw
from tests.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def acme(event_types: list[EventType]) -> str:
    return str(TenantFactory(slug="acme").slug)


def counted() -> tuple[int, ...]:
    """Ingested, duplicates, rejected."""
    rows = IngestCounter.objects.values_list("ingested", "duplicates", "rejected")
    return tuple(map(sum, zip(*rows, strict=True)))


def test_good_events_are_taken_when_the_bus_holds_rubbish_too(
    acme: str, pipeline: Pipeline, consume_all: Callable[[int], None]
) -> None:
    good = [release(acme, id=f"e-{number}") for number in range(3)]
    pipeline.write_event(good[0])
    pipeline.write(None)
    pipeline.write(b"\xff" * 1_000, [("ce_id", b"\0")], partition=1)
    produce_raw(django_settings.KAFKA_BOOTSTRAP_SERVERS, pipeline.topic, b"{}", [(b"\xff", b"\xff")])
    pipeline.write_event(good[1], [(bus.EVENT_ID_HEADER, b"f" * 12 + b"7" + b"f" * 3 + b"b" + b"f" * 15)])
    pipeline.write_event(release("nobody"))
    pipeline.write_event(good[2])

    consume_all(7)

    assert set(Event.objects.values_list("producer_id", flat=True)) == {"e-0", "e-1", "e-2"}
    assert sorted(RejectedEvent.objects.values_list("reason", flat=True)) == [
        RejectReason.UNKNOWN_TENANT,
        *[RejectReason.UNREADABLE] * 3,
    ]
    assert counted() == (3, 0, 4)


def test_event_is_ingested_once_when_it_comes_by_the_api_and_directly(
    sender: Sender, pipeline: Pipeline, consume_all: Callable[[int], None]
) -> None:
    sent = event(source="/s", id="1")
    receipt = sender.structured(sent).json()["events"][0]
    assert bus.close_outbox_producer(10) == 0
    for _ in range(2):
        pipeline.write_event(release("acme", source="/s", id="1"))

    consume_all(3)

    assert str(Event.objects.get().id) == receipt["id"]
    assert counted() == (1, 2, 0)


def test_rejected_message_is_planned_once_when_its_type_was_registered_and_it_was_sent_on(
    acme: str, pipeline: Pipeline, consume_all: Callable[[int], None]
) -> None:
    SubscriptionFactory(endpoint__tenant=Tenant.objects.get(slug=acme), types=["plugin.release.*"])
    message = release(acme, id="r-1", type="plugin.release.signed")
    pipeline.write_event(message)
    consume_all(1)
    row = RejectedEvent.objects.get()
    assert row.reason == RejectReason.UNKNOWN_TYPE
    EventType.objects.create(name="plugin.release.signed", version=1, schema={"type": "object"})
    registry.schemas.reload()

    (verdict, *_) = [*reingest([row.pk], Actor("user:eva")), *reingest([row.pk], Actor("user:ann"))]
    assert bus.close_outbox_producer(10) == 0
    pipeline.write_event(message)
    consume_all(3)

    assert Event.objects.get().pk == Delivery.objects.get().event_id == verdict.event_id
    assert not OutboxMessage.objects.exists()
    assert counted() == (1, 1, 1)


def test_one_is_kept_aside_and_the_others_are_taken_when_the_database_refuses_one(
    acme: str, pipeline: Pipeline, consume_all: Callable[[int], None], refusing_subjects: Callable[[], None]
) -> None:
    for subject in ("a", "refuse-22000", "b"):
        pipeline.write_event(release(acme, subject=subject, partitionkey="one"))

    consume_all(3)

    assert set(Event.objects.values_list("subject", flat=True)) == {"a", "b"}
    rejected = RejectedEvent.objects.get()
    assert (rejected.reason, rejected.tenant_slug) == (RejectReason.UNSTORABLE, "")
    assert "refused by the test" in rejected.detail
    assert counted() == (2, 0, 1)


@pytest.mark.parametrize("sqlstate", ["55P03", "57014"])
def test_nothing_is_passed_over_when_the_database_goes_away_amid_a_batch(
    acme: str,
    pipeline: Pipeline,
    command: Command,
    consume_all: Callable[[int], None],
    refusing_subjects: Callable[[], None],
    sqlstate: str,
) -> None:
    """The first event makes the batch be taken one by one; at the second the database goes away for a while."""
    for subject in ("refuse-22000", f"refuse-{sqlstate}", "a", "b"):
        pipeline.write_event(release(acme, subject=subject, partitionkey="one"))

    def broke_off() -> bool:
        try:
            command.step()
        except OperationalError:
            return True
        return False

    eventually(broke_off, every_s=0)
    eventually(broke_off, every_s=0)
    assert Event.objects.count() == 0
    refusing_subjects()
    consume_all(4)

    assert set(Event.objects.values_list("subject", flat=True)) == {f"refuse-{sqlstate}", "a", "b"}
    assert RejectedEvent.objects.count() == 1
    assert sum(stored(pipeline.topic).values()) == 4


def test_nothing_is_passed_over_when_another_consumer_moves_on_amid_a_batch(
    acme: str,
    pipeline: Pipeline,
    command: Command,
    consume_all: Callable[[int], None],
    refusing_subjects: Callable[[], None],
) -> None:
    for subject in ("refuse-22000", "a", "b"):
        pipeline.write_event(release(acme, subject=subject, partitionkey="one"))
    messages = read(command.consumer, 3)
    place = ConsumerOffset.objects.filter(topic=pipeline.topic, partition=messages[0].partition)
    place.update(next_offset=1)  # what another one does with its messages

    with pytest.raises(OffsetConflict):
        command.keep(messages)
    command.consumer.rewind()
    consume_all(3)

    assert set(Event.objects.values_list("subject", flat=True)) == {"a", "b"}
    assert counted() == (2, 0, 0)
