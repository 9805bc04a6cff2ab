"""What is kept aside goes once more to the bus: which, how often, and what becomes of it."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest
from django.utils import timezone

from audit.models import AuditEntry
from audit.trail import Actor
from delivery.models import Delivery
from eventcenter import registry, store
from eventcenter.bus import EVENT_ID_HEADER
from eventcenter.consumer import BusMessage
from eventcenter.envelope import Envelope, parse_structured, partition_key, to_kafka
from eventcenter.ids import new_id
from eventcenter.kept_messages import headers_as_json, message_of
from eventcenter.models import Event, EventType, IdempotencyKey, OutboxMessage, RejectedEvent
from eventcenter.publishing import keep
from eventcenter.reingest import PAST_RETENTION, Fate, Verdict, judge, reingest
from subscriptions.models import Tenant
from tests.delivery.bus_messages import TRACE, ingest_now, on_bus, raw, release
from tests.factories import EventFactory, RejectedEventFactory, SubscriptionFactory, TenantFactory, event_id_at

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("event_types", "empty_queues")]
EVA = Actor("user:eva")
NEW_TYPE = "plugin.release.signed"


@pytest.fixture
def acme() -> str:
    SubscriptionFactory(endpoint__tenant=TenantFactory(slug="acme"), types=["plugin.release.*"])
    return "acme"


def rejected(message: BusMessage) -> RejectedEvent:
    ingest_now(message)
    return RejectedEvent.objects.latest("pk")


def register() -> None:
    EventType.objects.create(name=NEW_TYPE, version=1, schema={"type": "object"})
    registry.schemas.reload()


def unknown_type(**changes: object) -> Envelope:
    return release("acme", type=NEW_TYPE, **changes)


def taken_from_outbox() -> list[BusMessage]:
    """As the relay puts it on the bus, and the consumer reads it there."""
    messages = []
    for row in OutboxMessage.objects.order_by("id"):
        headers, value = to_kafka(parse_structured(bytes(row.body)))
        own = [(EVENT_ID_HEADER, row.id.hex.encode())]
        messages.append(BusMessage("events", 1, row.id.int % 10**9, row.key.encode(), [*headers, *own], value))
    return messages


def one(verdicts: list[Verdict]) -> Verdict:
    (verdict,) = verdicts
    return verdict


def test_event_is_planned_once_when_its_type_was_registered_since(acme: str) -> None:
    row = rejected(on_bus(unknown_type(id="r-1")))
    assert row.reason == "unknown_type"
    assert one(judge([row], timezone.now())).fate == Fate.REFUSED
    register()
    assert one(judge([row], timezone.now())).fate == Fate.ACCEPTED

    sent = one(reingest([row.pk], EVA))
    again = one(reingest([row.pk], EVA))
    messages = taken_from_outbox()
    ingest_now(*messages)
    ingest_now(*messages)

    assert (sent.fate, again.fate) == (Fate.ACCEPTED, Fate.SETTLED)
    assert sent.event_id == again.event_id == Event.objects.get().pk
    assert Delivery.objects.get().event_id == sent.event_id
    row.refresh_from_db()
    assert (row.reingested_by, row.reingested_as, row.reingested_duplicate) == ("user:eva", sent.event_id, False)
    entry = AuditEntry.objects.get(action="rejected_event.reingested")
    assert (entry.chain, entry.actor, entry.target) == (acme, "user:eva", f"rejected_event:{row.pk}")


def test_event_comes_to_the_same_row_when_it_goes_by_way_of_the_outbox(acme: str) -> None:
    message = on_bus(unknown_type(time=timezone.now(), extensions={"buildnumber": 7}, traceparent=TRACE), new_id())
    row = rejected(message)
    register()
    told = one(judge([row], timezone.now()))
    reingest([row.pk], EVA)
    ingest_now(*taken_from_outbox())
    assert told.candidate is not None
    expected = told.candidate.row
    stored = Event.objects.get()
    assert (stored.pk, bytes(stored.body)) == (expected.id, expected.body)
    assert (stored.idempotency_key, stored.traceparent) == (expected.idempotency_key, expected.traceparent)
    assert OutboxMessage.objects.get().key == partition_key(told.candidate.envelope)


def test_event_goes_on_under_its_id_when_the_api_accepted_it(acme: str) -> None:
    """Its key is its own since then, and was never ingested."""
    Tenant.objects.update(active=True)
    receipt = keep(acme, [release(acme, id="a-1")])[0]
    (message,) = taken_from_outbox()
    OutboxMessage.objects.all().delete()
    Tenant.objects.update(active=False)
    row = rejected(message)
    assert row.reason == "unknown_tenant"
    assert one(reingest([row.pk], EVA)).fate == Fate.REFUSED
    assert not OutboxMessage.objects.exists()
    Tenant.objects.update(active=True)

    sent = one(reingest([row.pk], EVA))
    ingest_now(*taken_from_outbox())

    assert (sent.fate, sent.event_id) == (Fate.ACCEPTED, receipt.id)
    assert Event.objects.get().pk == receipt.id
    assert Delivery.objects.count() == 1


def test_it_is_a_duplicate_when_a_corrected_one_came_meanwhile(acme: str) -> None:
    row = rejected(on_bus(unknown_type(id="r-1")))
    register()
    ingest_now(on_bus(unknown_type(id="r-1", data=b'{"corrected": true}')))
    winner = Event.objects.get().pk

    told = one(reingest([row.pk], EVA))

    assert (told.fate, told.event_id) == (Fate.DUPLICATE, winner)
    assert not OutboxMessage.objects.exists()
    row.refresh_from_db()
    assert (row.reingested_as, row.reingested_duplicate) == (winner, True)


def test_first_of_two_goes_when_both_have_one_key(acme: str) -> None:
    rows = [rejected(on_bus(unknown_type(id="r-1"))) for _ in range(2)]
    register()
    told = reingest([row.pk for row in reversed(rows)], EVA)
    assert [verdict.fate for verdict in told] == [Fate.ACCEPTED, Fate.DUPLICATE]
    assert told[0].row == rows[0]
    assert told[1].event_id == told[0].event_id
    ingest_now(*taken_from_outbox())
    assert Event.objects.count() == 1


def test_nothing_is_kept_or_marked_when_it_would_still_be_rejected(acme: str) -> None:
    data = orjson.loads(release(acme).data) | {"version": "not one"}
    row = rejected(on_bus(release(acme, data=orjson.dumps(data))))
    told = one(reingest([row.pk], EVA))
    assert (told.fate, told.reason) == (Fate.REFUSED, "invalid")
    assert "data.version" in told.detail
    row.refresh_from_db()
    assert row.reingested_at is None
    assert not OutboxMessage.objects.exists()
    assert not AuditEntry.objects.filter(action="rejected_event.reingested").exists()


def test_it_is_refused_when_another_event_has_its_id(acme: str) -> None:
    taken = EventFactory(tenant__slug="rival").pk
    row = rejected(on_bus(release(acme, id="r-1"), taken))
    assert row.reason == "id_taken"
    told = one(reingest([row.pk], EVA))
    assert (told.fate, told.reason) == (Fate.REFUSED, "id_taken")
    assert "rival" not in told.detail


def test_it_is_refused_when_its_day_is_past_retention(acme: str) -> None:
    old = event_id_at(timezone.now() - timedelta(days=40))
    row = rejected(on_bus(unknown_type(), old))
    register()
    assert one(judge([row], timezone.now())).detail == PAST_RETENTION


def test_message_is_had_back_as_it_was_whatever_its_headers_hold() -> None:
    headers = [
        ("a", "é".encode()),
        ("b", b"\xff"),
        ("c", b"n\0l"),
        ("d", None),
        ("e", b""),
        ("f", b"base64:no"),
        ("g", b"base64:bm8="),
    ]
    message = raw(b"\0\xff", headers, key=b"\xfe")
    row = RejectedEventFactory(
        topic=message.topic,
        kafka_partition=message.partition,
        kafka_offset=message.offset,
        key=message.key,
        headers=headers_as_json(headers),
        value=message.value,
    )
    row.refresh_from_db()
    assert message_of(row) == message


def test_message_stays_unreadable_when_its_header_names_were(acme: str) -> None:
    row = rejected(BusMessage("events", 0, 7, None, None, b'{"specversion": "1.0"}'))
    assert message_of(row).headers is None
    assert one(judge([row], timezone.now())).reason == "unreadable"


def test_key_is_its_own_until_the_consumer_has_it(acme: str) -> None:
    row = rejected(on_bus(unknown_type()))
    register()
    told = one(reingest([row.pk], EVA))
    key = IdempotencyKey.objects.get(event_id=OutboxMessage.objects.get().pk)
    assert store.key_states([key.digest]) == {key.digest: (told.event_id, False)}
