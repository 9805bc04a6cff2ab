"""Kafka, incoming: batches of messages whose offsets live in PostgreSQL."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from django.conf import settings
from django.db import Error, transaction

from eventcenter import store
from eventcenter.bus import kafka_config
from eventcenter.models import ConsumerOffset

logger = logging.getLogger(__name__)

WATERMARK_TIMEOUT_S = 5.0
COMMIT_TO_KAFKA_EVERY_S = 2.0  # for lag tools only

Place = tuple[str, int]  # topic, partition


class OffsetConflict(Exception):
    """Another consumer moved one of the batch's partitions on: this one's transaction must not commit."""


@dataclass(frozen=True, slots=True)
class BusMessage:
    """One message as it stood on the bus; `headers` None: a name among them is not UTF-8, the client cannot give any."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]] | None
    value: bytes


class BusConsumer:
    """A member of the consumer group. `read` gives a batch, `commit_positions` moves its offsets in the caller's transaction.

    `rewind` after a failed transaction makes `read` give the same messages again. `read` raises what the database raises,
    and gives nothing while Kafka cannot say where the log begins and ends.
    """

    def __init__(self, topic: str, group: str, instance: str = "") -> None:
        self._positions: dict[Place, int] = {}  # what PostgreSQL holds, as far as this process knows
        self._astray = False
        self._committed_to_kafka_at = time.monotonic()
        self._consumer = Consumer(
            kafka_config(
                **{
                    "group.id": group,
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    # Cooperative-sticky hangs on the embedded broker of development; range works on both.
                    "partition.assignment.strategy": "range",
                    "session.timeout.ms": 10_000,
                    "heartbeat.interval.ms": 2_000,
                    "fetch.wait.max.ms": 50,
                    "queued.max.messages.kbytes": 32_768,
                    **({"group.instance.id": instance} if instance else {}),
                }
            )
        )
        self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke)

    @property
    def positions(self) -> dict[Place, int]:
        """The partitions that are this consumer's, and the next offset of each, as they are at this moment."""
        return dict(self._positions)

    def read(self, most: int, first_wait_s: float, more_wait_s: float) -> list[BusMessage]:
        """Up to `most` messages: wait for a first one, then only as long as a batch is worth."""
        if self._astray and not self._went_back():
            return []
        found = self._consumer.consume(1, timeout=first_wait_s)
        if found and most > 1:
            found += self._consumer.consume(most - 1, timeout=more_wait_s)
        return [_bus_message(message) for message in found if self._is_ours(message)]

    def commit_positions(self, messages: Sequence[BusMessage]) -> dict[Place, int]:
        """Move the offsets of the batch behind it, in the caller's transaction. Raises OffsetConflict.

        Returns the new positions, for `committed` once the transaction is through.
        """
        after: dict[Place, int] = {}
        for message in messages:
            after[(message.topic, message.partition)] = message.offset + 1
        moves = [(topic, part, self._positions[(topic, part)], offset) for (topic, part), offset in after.items()]
        if not store.advance_offsets(moves):
            raise OffsetConflict(str(sorted(after)))
        return after

    def committed(self, positions: dict[Place, int]) -> None:
        self._positions |= positions
        if time.monotonic() - self._committed_to_kafka_at < COMMIT_TO_KAFKA_EVERY_S:
            return
        offsets = [TopicPartition(topic, part, offset) for (topic, part), offset in self._positions.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException:
            logger.warning("consumer.lag_commit_failed", exc_info=True)
        self._committed_to_kafka_at = time.monotonic()

    def rewind(self) -> None:
        """The transaction failed: the next `read` goes back to what PostgreSQL holds for each partition that is ours."""
        self._astray = True

    def _went_back(self) -> bool:
        self._positions = {}
        # Kafka is not asked where a row stands: its answer may come behind a long poll, one for each partition.
        stored = {(row.topic, row.partition): row.next_offset for row in ConsumerOffset.objects.all()}
        try:
            if partitions := self._consumer.assignment():
                self._take_up(self._consumer, partitions, stored)
        except KafkaException:
            logger.warning("consumer.positions_unknown", exc_info=True)
            return False
        self._astray = False
        return True

    def _take_up(self, consumer: Consumer, partitions: list[TopicPartition], known: Mapping[Place, int]) -> None:
        """Start each partition where PostgreSQL says. By `assign`: a `seek` may be refused, and what had been read and not
        kept would then be passed over."""
        for each in partitions:
            offset = known.get((each.topic, each.partition))
            each.offset = self._start_of(consumer, each) if offset is None else offset
        consumer.assign(partitions)
        self._positions = {(each.topic, each.partition): each.offset for each in partitions}

    def close(self) -> None:
        self._consumer.close()

    def _is_ours(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return (message.topic(), message.partition()) in self._positions
        if error.fatal():  # e.g. another process has taken our KAFKA_CONSUMER_INSTANCE: this client works no more
            raise KafkaException(error)
        if error.code() != KafkaError._PARTITION_EOF:
            logger.warning("consumer.kafka_error", extra={"error": str(error)})
        return False

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            self._take_up(consumer, partitions, {})
        except (Error, KafkaException):
            # Raised from here the client would start the partitions at offsets of its own. None is ours until `read` has
            # taken them up: it drops what comes before.
            logger.warning("consumer.assign_failed", exc_info=True)
            consumer.assign(partitions)
            self._positions, self._astray = {}, True
        logger.info("consumer.assigned", extra={"partitions": sorted(p.partition for p in partitions)})

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._positions.pop((partition.topic, partition.partition), None)

    def _start_of(self, consumer: Consumer, partition: TopicPartition) -> int:
        """The stored offset; moved where the log no longer reaches (deleted below it, or a topic made anew)."""
        low, high = consumer.get_watermark_offsets(partition, timeout=WATERMARK_TIMEOUT_S)
        place = {"topic": partition.topic, "partition": partition.partition}
        with transaction.atomic():
            row, _ = ConsumerOffset.objects.select_for_update().get_or_create(**place, defaults={"next_offset": low})
            if low <= row.next_offset <= high:
                return row.next_offset
            logger.error(
                "consumer.offset_out_of_log", extra=place | {"stored": row.next_offset, "low": low, "high": high}
            )
            ConsumerOffset.objects.filter(pk=row.pk).update(next_offset=low)
            return low


def consumer_of_events() -> BusConsumer:
    return BusConsumer(settings.KAFKA_EVENTS_TOPIC, settings.KAFKA_CONSUMER_GROUP, settings.KAFKA_CONSUMER_INSTANCE)


def _bus_message(message: Message) -> BusMessage:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return BusMessage(topic, partition, offset, message.key(), _headers_of(message), message.value() or b"")


# For a name that is not UTF-8 the client (2.16) gives a list and sets an error too. Python notices that at a call by way
# of `methodcaller`; at a plain one its specialised bytecode may not, and the error comes up somewhere else.
_read_headers = methodcaller("headers")


def _headers_of(message: Message) -> list[tuple[str, bytes | None]] | None:
    try:
        # librdkafka gives bytes, its stubs say more
        return cast("list[tuple[str, bytes | None]]", _read_headers(message) or [])
    except (SystemError, UnicodeDecodeError):
        return None
