"""Offsets live in PostgreSQL: whatever happens to a consumer, each message is committed once and none is passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from django.conf import settings as django_settings
from django.db import OperationalError, connection, transaction

from eventcenter import bus
from eventcenter.consumer import BusConsumer, BusMessage, OffsetConflict
from eventcenter.models import ConsumerOffset
from tests.eventcenter.conftest import Consumers, Pipeline
from tests.eventcenter.reading import commit, places, read, stored
from tests.fakes.raw_kafka import produce_raw
from tests.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]


def assigned(consumer: BusConsumer) -> int:
    """How many partitions it has; nothing must be there to read."""
    assert consumer.read(1, 0.05, 0) == []
    return len(consumer._consumer.assignment())


@contextmanager
def impatient() -> Iterator[None]:
    """PostgreSQL answers with an error instead of letting this connection wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '50ms'")
        yield
        cursor.execute("RESET lock_timeout")


@contextmanager
def locked(table: str) -> Iterator[None]:
    """Held by somebody else."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        other.close()


# --- Reading and committing ---------------------------------------------------------------------------------------------


def test_message_is_as_it_was_written(pipeline: Pipeline, consumers: Consumers) -> None:
    pipeline.write(b"\0\xff", [("a", b"\xff"), ("a", None), ("é", b"")], key="k", partition=1)
    pipeline.write(None, partition=1)

    one, tombstone = read(consumers.new(), 2)

    assert one == BusMessage(pipeline.topic, 1, 0, b"k", [("a", b"\xff"), ("a", None), ("é", b"")], b"\0\xff")
    assert tombstone == BusMessage(pipeline.topic, 1, 1, None, [], b"")


def test_message_is_read_when_a_headers_name_is_not_utf8(pipeline: Pipeline, consumers: Consumers) -> None:
    for _ in range(20):  # the interpreter goes another way when it has seen a few
        pipeline.write(b"right", [("é", b"1")], partition=0)
        produce_raw(django_settings.KAFKA_BOOTSTRAP_SERVERS, pipeline.topic, b"odd", [(b"ok", b"1"), (b"\xff", b"2")])

    messages = read(consumers.new(), 40)

    assert [message.offset for message in messages] == list(range(40))
    assert [message.value for message in messages] == [b"right", b"odd"] * 20
    assert [message.headers for message in messages] == [[("é", b"1")], None] * 20


def test_offsets_stand_behind_what_was_committed(pipeline: Pipeline, consumers: Consumers) -> None:
    for number in range(6):
        pipeline.write(b"%d" % number, partition=number % 3)
    consumer = consumers.new()
    first = read(consumer, 6)

    commit(consumer, first)

    assert stored(pipeline.topic) == {0: 2, 1: 2, 2: 2}
    pipeline.write(b"6", partition=0)
    assert places(read(consumer, 1)) == [(0, 2)]


def test_next_one_begins_behind_the_last_when_a_consumer_was_closed(pipeline: Pipeline, consumers: Consumers) -> None:
    for number in range(10):
        pipeline.write(b"%d" % number, partition=0)
    consumer = consumers.new()
    commit(consumer, read(consumer, 4))
    assert read(consumer, 3)  # read, never committed
    consumers.close(consumer)

    assert places(read(consumers.new(), 6)) == [(0, number) for number in range(4, 10)]


def test_postgresql_is_believed_when_kafka_says_otherwise(pipeline: Pipeline, consumers: Consumers) -> None:
    for number in range(4):
        pipeline.write(b"%d" % number, partition=0)
    consumer = consumers.new()
    commit(consumer, read(consumer, 4))
    consumer._consumer.commit(asynchronous=False)
    consumers.close(consumer)
    ConsumerOffset.objects.filter(partition=0).update(next_offset=1)

    assert places(read(consumers.new(), 3)) == [(0, 1), (0, 2), (0, 3)]


# --- Failed transactions -------------------------------------------------------------------------------------------------


def test_same_messages_come_again_when_their_transaction_failed(pipeline: Pipeline, consumers: Consumers) -> None:
    for number in range(300):
        pipeline.write(b"%d" % number, partition=number % 2)
    consumer = consumers.new()
    kept = read(consumer, 50)
    commit(consumer, kept)
    lost = read(consumer, 100)
    with transaction.atomic():
        consumer.commit_positions(lost)
        transaction.set_rollback(True)

    consumer.rewind()
    again = read(consumer, 250)

    assert places([*kept, *again]) == sorted((number % 2, number // 2) for number in range(300))
    for partition in (0, 1):
        offsets = [message.offset for message in again if message.partition == partition]
        assert offsets == sorted(offsets)
    commit(consumer, again)
    assert stored(pipeline.topic) == {0: 150, 1: 150, 2: 0}


def test_nothing_is_passed_over_when_going_back_fails_too(pipeline: Pipeline, consumers: Consumers) -> None:
    for number in range(20):
        pipeline.write(b"%d" % number, partition=0)
    consumer = consumers.new()
    read(consumer, 10)
    consumer.rewind()

    with locked("eventcenter_consumeroffset"), impatient():
        for _ in range(2):
            with pytest.raises(OperationalError):
                consumer.read(10, 0.1, 0)

    assert places(read(consumer, 20)) == [(0, number) for number in range(20)]


def test_nothing_is_passed_over_when_the_database_is_away_at_an_assignment(
    pipeline: Pipeline, consumers: Consumers
) -> None:
    for number in range(9):
        pipeline.write(b"%d" % number, partition=number % 3)
    consumer = consumers.new()

    def refused() -> bool:
        try:
            assert consumer.read(10, 0.1, 0) == []
        except OperationalError:
            return True
        return False

    with locked("eventcenter_consumeroffset"), impatient():
        eventually(refused, every_s=0)

    assert len(read(consumer, 9)) == 9


def test_reading_goes_on_when_the_stored_offsets_were_deleted(pipeline: Pipeline, consumers: Consumers) -> None:
    pipeline.write(b"0", partition=0)
    consumer = consumers.new()
    commit(consumer, read(consumer, 1))
    ConsumerOffset.objects.all().delete()
    pipeline.write(b"1", partition=0)

    with pytest.raises(OffsetConflict):
        commit(consumer, read(consumer, 1))
    consumer.rewind()
    commit(consumer, read(consumer, 2))

    assert stored(pipeline.topic)[0] == 2


# --- Several consumers ---------------------------------------------------------------------------------------------------


def test_zombie_commits_nothing_when_another_took_its_messages(pipeline: Pipeline, consumers: Consumers) -> None:
    for number in range(6):
        pipeline.write(b"%d" % number, partition=number % 2)
    zombie, other = consumers.new(), consumers.new("other-group")
    stale = read(zombie, 6)
    commit(other, read(other, 6))
    before = stored(pipeline.topic)

    with pytest.raises(OffsetConflict, match=pipeline.topic), transaction.atomic():
        zombie.commit_positions(stale)

    assert stored(pipeline.topic) == before
    zombie.rewind()
    pipeline.write(b"6", partition=0)
    assert places(read(zombie, 1)) == [(0, 3)]


def test_zombie_commits_nothing_when_only_one_partition_was_taken(pipeline: Pipeline, consumers: Consumers) -> None:
    for number in range(4):
        pipeline.write(b"%d" % number, partition=number % 2)
    zombie, other = consumers.new(), consumers.new("other-group")
    stale = read(zombie, 4)
    commit(other, [message for message in read(other, 4) if message.partition == 1])

    with pytest.raises(OffsetConflict), transaction.atomic():
        zombie.commit_positions(stale)

    assert stored(pipeline.topic) == {0: 0, 1: 2, 2: 0}
    zombie.rewind()
    commit(zombie, read(zombie, 2))
    assert stored(pipeline.topic) == {0: 2, 1: 2, 2: 0}


def test_each_message_is_committed_once_when_consumers_come_and_go(pipeline: Pipeline, consumers: Consumers) -> None:
    committed: list[BusMessage] = []

    def work(*of: BusConsumer) -> None:
        for consumer in of:
            messages = consumer.read(7, 0.05, 0)
            try:
                if messages:
                    commit(consumer, messages)
                    committed.extend(messages)
            except OffsetConflict:
                consumer.rewind()

    def write(count: int) -> None:
        for _ in range(count):
            pipeline.write(b"x", partition=pipeline.count % 3)

    def work_until(done: Callable[[], bool], *of: BusConsumer) -> None:
        eventually(lambda: work(*of) or done(), timeout=30, every_s=0)

    one = consumers.new()
    write(60)
    work_until(lambda: len(committed) >= 20, one)
    other = consumers.new()
    work_until(
        lambda: bool(one._positions) and bool(other._positions) and len({*one._positions, *other._positions}) == 3,
        one,
        other,
    )
    assert not one._positions.keys() & other._positions.keys()
    write(60)
    work_until(lambda: len(committed) >= 100, one, other)
    consumers.close(one)
    write(30)
    work_until(lambda: len(committed) >= 150, other)

    assert places(committed) == sorted((number % 3, number // 3) for number in range(150))
    assert stored(pipeline.topic) == {0: 50, 1: 50, 2: 50}


# --- The log is not what it was ------------------------------------------------------------------------------------------


def test_everything_is_read_when_the_topic_was_made_anew(
    pipeline: Pipeline, consumers: Consumers, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        pipeline.write(b"old %d" % number, partition=0)
    consumer = consumers.new()
    commit(consumer, read(consumer, 5))
    consumers.close(consumer)
    admin = AdminClient(bus.kafka_config())
    admin.delete_topics([pipeline.topic])[pipeline.topic].result(10)

    def made() -> bool:
        """A broker may need a moment to forget a topic."""
        return admin.create_topics([NewTopic(pipeline.topic, 3, 1)])[pipeline.topic].exception(10) is None

    eventually(made)
    new = Pipeline(pipeline.topic)
    new.write(b"new", partition=0)

    consumer = consumers.new()
    messages = read(consumer, 1)
    commit(consumer, messages)

    assert [message.value for message in messages] == [b"new"]
    assert stored(pipeline.topic)[0] == 1
    assert "consumer.offset_out_of_log" in caplog.messages


def test_reading_begins_at_the_end_of_the_log_when_the_stored_offset_is_just_there(
    pipeline: Pipeline, consumers: Consumers, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        pipeline.write(b"%d" % number, partition=0)
    ConsumerOffset.objects.create(topic=pipeline.topic, partition=0, next_offset=3)

    consumer = consumers.new()
    eventually(lambda: assigned(consumer) == 3, every_s=0)

    assert stored(pipeline.topic)[0] == 3
    assert "consumer.offset_out_of_log" not in caplog.messages
