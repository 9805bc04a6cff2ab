"""Accepting as a service: what is wrong with an event, and how an accepted one leaves the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from config.stack.services import Services
from eventcenter import bus
from eventcenter.authentication import SIGNING_HEADERS
from eventcenter.envelope import parse_structured
from eventcenter.models import Event, IdempotencyKey, OutboxMessage
from eventcenter.publishing import find_problems, keep, key_digest, publish
from eventcenter.schemas import SchemaSet, load_schemas
from eventcenter.standardwebhooks import HEADERS
from tests.delivery.bus_messages import release
from tests.eventcenter.conftest import Consumers
from tests.eventcenter.sender import Sender, event, kept
from tests.waiting import eventually

SCHEMAS = SchemaSet(load_schemas(Path(__file__).parents[2] / "config" / "events" / "schemas"))


def test_digest_is_one_keys_alone() -> None:
    pairs = [("acme", "a"), ("acme", "b"), ("globex", "a"), ("acme", ""), ("", "acme"), ("a", "cmea"), ("acme", "é")]

    digests = {key_digest(*pair) for pair in pairs}

    assert len(digests) == len(pairs)
    assert key_digest("acme", "a") in digests


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, []),
        ({"tenant": None}, []),
        ({"tenant": "globex"}, ["tenant"]),
        ({"data": release("globex").data}, ["data.tenant"]),
        ({"tenant": "globex", "data": release("globex").data}, ["tenant", "data.tenant"]),
        ({"data": b""}, ["data"]),
        ({"type": "no.such"}, ["type"]),
    ],
)
def test_problems_are_found_when_the_event_is_not_the_tenants(changes: dict[str, Any], fields: list[str]) -> None:
    found = find_problems(release("acme", **changes), "acme", SCHEMAS)

    assert [problem.field for problem in found] == fields


def test_headers_of_the_signature_are_those_of_the_standard() -> None:
    assert SIGNING_HEADERS == HEADERS == ("webhook-id", "webhook-timestamp", "webhook-signature")


@pytest.mark.django_db
def test_nothing_is_asked_of_the_database_when_there_are_no_events(
    django_assert_num_queries: Callable[..., Any],
) -> None:
    with django_assert_num_queries(0):
        assert publish("acme", []) == []


@pytest.mark.kafka
@pytest.mark.django_db(transaction=True)
def test_row_is_deleted_when_kafka_has_taken_the_event(sender: Sender, consumers: Consumers) -> None:
    receipts = sender.batch([event() for _ in range(30)]).json()["events"]

    eventually(lambda: OutboxMessage.objects.count() == 0)

    consumer, taken = consumers.new(), []

    def all_taken() -> bool:
        for message in consumer.read(30, 0.2, 0.05):
            taken.append(str(UUID(hex=dict(message.headers or ())[bus.EVENT_ID_HEADER].decode())))  # type: ignore[union-attr]
        return len(taken) >= 30

    eventually(all_taken, every_s=0)
    assert sorted(taken) == sorted(receipt["id"] for receipt in receipts)
    assert IdempotencyKey.objects.filter(ingested_at=None).count() == 30


@pytest.mark.kafka
@pytest.mark.django_db(transaction=True)
def test_row_stays_until_kafka_is_back_when_it_is_away(services: Services, sender: Sender) -> None:
    sender.structured(event())
    eventually(lambda: OutboxMessage.objects.count() == 0)
    services.kafka.stop()
    try:
        answers = [sender.structured(event()) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [202] * 3
        assert kept() == (4, 3)
    finally:
        services.kafka.start()
    # Within the producer's patience it sends them itself; what it gives up is the relay's.
    bus.close_outbox_producer(10)
    assert OutboxMessage.objects.count() in (0, 3)


@pytest.mark.kafka
@pytest.mark.django_db(transaction=True)
def test_event_is_ingested_once_when_the_rows_cannot_be_deleted(
    sender: Sender, consume_all: Callable[[int], None]
) -> None:
    """The acknowledgement comes and the database refuses: the row stays, a later one is deleted again."""
    with connection.cursor() as cursor:
        body = "BEGIN RAISE EXCEPTION 'refused by the test'; END"
        cursor.execute(f"CREATE FUNCTION refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        cursor.execute(
            "CREATE TRIGGER refuse_delete BEFORE DELETE ON eventcenter_outboxmessage"
            " FOR EACH ROW EXECUTE FUNCTION refuse_delete()"
        )
    try:
        first = sender.structured(event()).json()["events"][0]
        consume_all(1)
        bus.close_outbox_producer(10)
        assert str(OutboxMessage.objects.get().id) == first["id"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse_delete() CASCADE")

    sender.structured(event(subject="another-plugin"))  # of the same one it would wait until the relay sent the first
    eventually(lambda: list(OutboxMessage.objects.values_list("id", flat=True)) == [UUID(first["id"])])
    consume_all(2)
    assert Event.objects.count() == 2


@pytest.fixture
def refusing_outbox(transactional_db: None) -> Iterator[None]:
    """PostgreSQL cannot write the outbox: its disk is full."""
    with connection.cursor() as cursor:
        body = "BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END"
        cursor.execute(f"CREATE FUNCTION refuse_outbox() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        cursor.execute(
            "CREATE TRIGGER refuse_outbox BEFORE INSERT ON eventcenter_outboxmessage"
            " FOR EACH ROW EXECUTE FUNCTION refuse_outbox()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION refuse_outbox() CASCADE")


@pytest.mark.kafka
@pytest.mark.django_db(transaction=True)
def test_nothing_is_sent_when_the_transaction_failed(sender: Sender, refusing_outbox: None) -> None:
    answer = sender.batch([event(), event()])

    assert answer.status_code == 503
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Retry-After"]
    assert kept() == (0, 0)
    assert bus.close_outbox_producer(1) == 0


@pytest.mark.django_db
def test_stored_event_can_be_read_again(sender: Sender) -> None:
    sender.structured(event(region="eu", tags="a,b"))

    stored = parse_structured(bytes(OutboxMessage.objects.get().body))

    assert (stored.tenant, stored.tags, stored.extensions) == ("acme", ("a", "b"), {"region": "eu"})


@pytest.mark.kafka
@pytest.mark.django_db(transaction=True)
def test_own_event_is_sent_when_the_callers_transaction_commits(consumers: Consumers) -> None:
    with transaction.atomic():
        (receipt,) = keep("acme", [release("acme")])
        assert not receipt.duplicate
        assert kept() == (1, 1)

    consumer = consumers.new()
    (message,) = eventually(lambda: consumer.read(1, 0.2, 0.05), every_s=0)
    assert dict(message.headers or ())[bus.EVENT_ID_HEADER] == receipt.id.hex.encode()  # type: ignore[union-attr]
    eventually(lambda: OutboxMessage.objects.count() == 0)


@pytest.mark.django_db(transaction=True)
def test_own_event_never_was_when_the_callers_transaction_is_rolled_back() -> None:
    event_of_ours = release("acme")
    with transaction.atomic():
        keep("acme", [event_of_ours])
        transaction.set_rollback(True)

    assert kept() == (0, 0)
    assert not bus._producers
    with transaction.atomic():
        assert not keep("acme", [event_of_ours])[0].duplicate
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_own_event_is_kept_once_when_it_is_made_again() -> None:
    event_of_ours = release("acme")
    first, second = (keep("acme", [event_of_ours])[0] for _ in range(2))

    assert (second.id, second.duplicate) == (first.id, True)
    assert keep("acme", []) == []
    assert kept() == (1, 1)
