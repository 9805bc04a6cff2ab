"""The hot path's statements, each for what it promises when two come at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import DataError, connection, transaction
from django.utils import timezone

from eventcenter import store
from eventcenter.ids import id_floor, new_id
from eventcenter.models import ConsumerOffset, Event, Heartbeat, IdempotencyKey, IngestCounter, OutboxMessage
from eventcenter.publishing import key_digest
from eventcenter.store import Accepted, EventRow
from tests.factories import TenantFactory, event_id_at
from tests.waiting import eventually

pytestmark = pytest.mark.django_db
TOPIC = "events"


def outgoing(key: str, event_id: UUID | None = None) -> Accepted:
    return Accepted(digest=key_digest("acme", key), id=event_id or new_id(), key="acme|p", body=b'{"k":"v"}')


def row(**changes: Any) -> EventRow:
    values: dict[str, Any] = {
        "id": new_id(),
        "tenant_id": 1,
        "type": "a.b",
        "source": "/s",
        "subject": "",
        "producer_id": "1",
        "time": None,
        "tags": "",
        "traceparent": "",
        "tracestate": "",
        "idempotency_key": "k",
        "version": "",
        "body": b"{}",
        "kafka_partition": 0,
        "kafka_offset": 0,
    }
    return EventRow(**values | changes)


@pytest.fixture
def second() -> Iterator[ThreadPoolExecutor]:
    """A second thread with a connection of its own."""
    with ThreadPoolExecutor(1) as pool:
        yield pool
        pool.submit(lambda: connection.close()).result()  # looked up there: it is that thread's


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


# --- accept ------------------------------------------------------------------------------------------------------------


def test_keys_and_rows_are_kept_when_they_are_new() -> None:
    one, other = outgoing("a"), outgoing("b")

    assert store.accept([one, other]) == {one.digest: one.id, other.digest: other.id}
    assert set(OutboxMessage.objects.values_list("id", "key")) == {(one.id, "acme|p"), (other.id, "acme|p")}
    assert bytes(OutboxMessage.objects.get(id=one.id).body) == one.body
    assert IdempotencyKey.objects.filter(ingested_at=None).count() == 2


def test_owner_is_told_and_no_row_kept_when_a_key_is_taken() -> None:
    first, again, new = outgoing("a"), outgoing("a"), outgoing("b")
    store.accept([first])

    assert store.accept([new, again]) == {again.digest: first.id, new.digest: new.id}
    assert set(OutboxMessage.objects.values_list("id", flat=True)) == {first.id, new.id}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("commits", [True, False])
def test_second_waits_for_the_first_when_both_want_a_key(second: ThreadPoolExecutor, commits: bool) -> None:
    first, other = outgoing("a"), outgoing("a")

    with transaction.atomic():
        store.accept([first])
        waiting = second.submit(store.accept, [other])
        eventually(waits_for_a_lock)
        assert not waiting.done()
        transaction.set_rollback(not commits)

    owner = first if commits else other
    assert waiting.result(10) == {owner.digest: owner.id}
    assert OutboxMessage.objects.get().id == owner.id


@pytest.mark.django_db(transaction=True)
def test_nobody_deadlocks_when_batches_hold_the_same_keys_in_another_order() -> None:
    keys = [f"key-{number}" for number in range(200)]
    start = threading.Barrier(2)

    def send(order: list[str]) -> dict[UUID, UUID]:
        try:
            start.wait()
            return store.accept([outgoing(key) for key in order])
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(send, [keys, keys[::-1]])

    assert one == other
    assert OutboxMessage.objects.count() == IdempotencyKey.objects.count() == 200


def test_oldest_rows_come_first_when_the_outbox_is_read() -> None:
    now = timezone.now()
    ids = [event_id_at(now - timedelta(seconds=age)) for age in (1, 30, 20, 10)]
    store.accept([outgoing(str(each), each) for each in ids])

    before = id_floor(now - timedelta(seconds=5))
    assert [found[0] for found in store.old_outbox(before, 10)] == [ids[1], ids[2], ids[3]]
    assert store.old_outbox(before, 1) == [(ids[1], "acme|p", b'{"k":"v"}')]

    store.delete_outbox([ids[1], ids[2], new_id()])
    assert [found[0] for found in store.old_outbox(before, 10)] == [ids[3]]


def test_nothing_is_deleted_when_no_id_is_given() -> None:
    store.accept([outgoing("a")])

    store.delete_outbox([])

    assert OutboxMessage.objects.count() == 1


# --- ingest ------------------------------------------------------------------------------------------------------------


def test_key_is_claimed_once_whoever_asks() -> None:
    digest, event_id = key_digest("acme", "a"), new_id()

    assert store.claim_keys([(digest, event_id)]) == {event_id}
    assert store.claim_keys([(digest, event_id)]) == set()
    assert store.claim_keys([(digest, new_id())]) == set()
    assert IdempotencyKey.objects.get().event_id == event_id


def test_key_is_its_owners_alone_when_the_api_gave_it() -> None:
    mine = outgoing("a")
    store.accept([mine])

    assert store.claim_keys([(mine.digest, new_id())]) == set()
    assert IdempotencyKey.objects.get().ingested_at is None
    assert store.claim_keys([(mine.digest, mine.id)]) == {mine.id}
    assert IdempotencyKey.objects.get().ingested_at is not None
    assert store.claim_keys([(mine.digest, mine.id)]) == set()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("commits", [True, False])
def test_one_transaction_claims_when_two_want_a_key(second: ThreadPoolExecutor, commits: bool) -> None:
    mine = outgoing("a")
    store.accept([mine])

    with transaction.atomic():
        assert store.claim_keys([(mine.digest, mine.id)]) == {mine.id}
        waiting = second.submit(store.claim_keys, [(mine.digest, mine.id)])
        eventually(waits_for_a_lock)
        transaction.set_rollback(not commits)

    assert waiting.result(10) == (set() if commits else {mine.id})


def test_event_is_stored_as_it_was_given() -> None:
    at = datetime(2025, 11, 5, 12, 0, 0, 123456, tzinfo=UTC)
    tenant = TenantFactory()
    full = row(tenant_id=tenant.pk, time=at, tags="stable,eu", subject="é😀", body=b"\0\xff", kafka_offset=2**40)
    bare = row(tenant_id=tenant.pk)

    assert store.insert_events([full, bare]) == {full.id, bare.id}
    stored = Event.objects.get(id=full.id)
    assert (stored.time, stored.tags, stored.subject, bytes(stored.body)) == (at, ["stable", "eu"], "é😀", b"\0\xff")
    assert (stored.kafka_offset, stored.tenant) == (2**40, tenant)
    assert (Event.objects.get(id=bare.id).tags, Event.objects.get(id=bare.id).time) == ([], None)


@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_event_is_stored_when_its_time_is_at_an_end_of_the_calendar(at: datetime) -> None:
    event = row(time=at)

    assert store.insert_events([event]) == {event.id}
    assert Event.objects.values_list("time", flat=True).get() == at


def test_event_is_left_out_when_its_id_is_another_events() -> None:
    first = row(subject="first")
    store.insert_events([first])
    new = row()

    assert store.insert_events([row(id=first.id, subject="second"), new]) == {new.id}
    assert Event.objects.get(id=first.id).subject == "first"


def test_nothing_is_stored_when_one_row_is_refused() -> None:
    with pytest.raises(DataError), transaction.atomic():
        store.insert_events([row(), row(subject="nul \0")])

    assert not Event.objects.exists()


# --- offsets -----------------------------------------------------------------------------------------------------------


def offsets() -> dict[int, int]:
    return dict(ConsumerOffset.objects.values_list("partition", "next_offset"))


@pytest.fixture
def at_ten() -> None:
    for partition in (0, 1):
        ConsumerOffset.objects.create(topic=TOPIC, partition=partition, next_offset=10)


def test_offsets_move_when_all_stand_where_they_are_thought_to(at_ten: None) -> None:
    assert store.advance_offsets([(TOPIC, 1, 10, 12), (TOPIC, 0, 10, 11)])
    assert offsets() == {0: 11, 1: 12}


@pytest.mark.parametrize(
    "wrong", [(TOPIC, 1, 9, 12), (TOPIC, 1, 11, 12), (TOPIC, 2, 10, 12), ("others", 1, 10, 12), (TOPIC, 1, -2, 12)]
)
def test_conflict_is_told_when_one_offset_stands_elsewhere(at_ten: None, wrong: tuple[str, int, int, int]) -> None:
    assert not store.advance_offsets([(TOPIC, 0, 10, 11), wrong])


@pytest.mark.django_db(transaction=True)
def test_one_wins_when_two_move_the_same_offset_at_once(at_ten: None, second: ThreadPoolExecutor) -> None:
    with transaction.atomic():
        assert store.advance_offsets([(TOPIC, 0, 10, 11)])
        waiting = second.submit(store.advance_offsets, [(TOPIC, 0, 10, 15)])
        eventually(waits_for_a_lock)

    assert waiting.result(10) is False
    assert offsets() == {0: 11, 1: 10}


# --- counters and heartbeats --------------------------------------------------------------------------------------------


def test_counts_add_up_when_they_fall_into_one_minute() -> None:
    with transaction.atomic():  # now() is the transaction's: one minute
        for _ in range(3):
            store.add_ingest_counts(1, 5, 1, 0, 10)
        store.add_ingest_counts(2, 1, 0, 2, 0)

    counted = IngestCounter.objects.order_by("shard").values_list(
        "shard", "ingested", "duplicates", "rejected", "planned"
    )
    assert list(counted) == [(1, 15, 3, 0, 30), (2, 1, 0, 2, 0)]


def test_heartbeat_is_one_row_a_process() -> None:
    for role, instance in (("relay", "a:1"), ("relay", "a:1"), ("relay", "b:1"), ("sweep", "a:1")):
        store.beat(role, instance)

    seen = Heartbeat.objects.seen_since(timezone.now() - timedelta(minutes=1))
    assert set(seen.values_list("role", "instance")) == {("relay", "a:1"), ("relay", "b:1"), ("sweep", "a:1")}
    assert len(seen) == 3
    assert not Heartbeat.objects.seen_since(timezone.now() + timedelta(minutes=1)).exists()


@pytest.mark.parametrize("statement", [store.OLD_OUTBOX, store.KEY_OWNERS])
def test_statement_uses_the_primary_key_when_it_is_planned(
    statement: str, django_assert_num_queries: Callable[..., Any]
) -> None:
    parameter: list[object] = [id_floor(timezone.now()), 10] if statement == store.OLD_OUTBOX else [[new_id()]]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {statement}", parameter)
        plan = " ".join(line for (line,) in cursor.fetchall())

    assert "_pkey" in plan
