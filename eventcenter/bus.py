"""Kafka, outgoing: the producer of this process, and the acknowledgements that empty the outbox."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from django.conf import settings
from django.db import connection

from eventcenter import store

logger = logging.getLogger(__name__)

# What Kafka has not taken by then stays in the outbox; the relay tries again. Short, so that memory does not fill up.
MESSAGE_TIMEOUT_MS = 5_000
QUEUE_MESSAGES = 50_000
POLL_S = 0.2
EVENT_ID_ATTRIBUTE = "eventcenterid"  # our own extension: the id that the publish API gave
EVENT_ID_HEADER = "ce_" + EVENT_ID_ATTRIBUTE

KafkaHeaders = Sequence[tuple[str, bytes]]


def kafka_config(**more: object) -> dict[str, Any]:
    """What every client of ours shares. librdkafka's own log lines go through Python's logging."""
    return {
        "bootstrap.servers": settings.KAFKA_BOOTSTRAP_SERVERS,
        "client.id": "event-center",
        "logger": logger,
        **more,
    }


def new_producer(**more: object) -> Producer:
    """Idempotence is left to the ingest, which drops every repeat; acks=all keeps what the 202 promised."""
    config = {"acks": "all", "linger.ms": 2, "message.timeout.ms": MESSAGE_TIMEOUT_MS, "compression.type": "zstd"}
    limits = {"queue.buffering.max.messages": QUEUE_MESSAGES, "socket.nagle.disable": True}
    return Producer(kafka_config(**config, **limits, **more))


def create_topics() -> list[str]:
    """Make the topics that are not there. Returns the names of those made. Raises KafkaException."""
    admin = AdminClient(kafka_config())
    topic = NewTopic(
        settings.KAFKA_EVENTS_TOPIC,
        settings.KAFKA_EVENTS_PARTITIONS,
        settings.KAFKA_REPLICATION_FACTOR,
        config={"retention.ms": str(settings.KAFKA_EVENTS_RETENTION_HOURS * 3_600_000)},
    )
    made = []
    for name, future in admin.create_topics([topic]).items():
        try:
            future.result(timeout=30)
            made.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    return made


class OutboxProducer:
    """Produces accepted events and deletes their outbox rows as Kafka acknowledges them.

    `send` never waits for Kafka and never raises for its absence: the row stays, and the relay sends it later. A thread of
    its own serves the acknowledgements in groups.
    """

    def __init__(self) -> None:
        self._producer = new_producer()
        self._acknowledged: deque[UUID] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="outbox-acks", daemon=True)
        self._thread.start()

    def send(self, event_id: UUID, key: str, headers: KafkaHeaders, value: bytes) -> None:
        try:
            self._producer.produce(
                settings.KAFKA_EVENTS_TOPIC,
                key=key,
                value=value,
                headers=[*headers, (EVENT_ID_HEADER, event_id.hex.encode())],
                on_delivery=partial(self._on_delivery, event_id),
            )
        except (BufferError, KafkaException) as error:
            logger.warning("outbox.left_to_relay", extra={"event_id": str(event_id), "error": str(error)})

    def close(self, timeout_s: float) -> int:
        """Wait, at most so long, until Kafka answered for all that was sent, and delete the rows of what it took. Returns
        how many it did not answer for; they are the relay's."""
        unanswered = self._producer.flush(timeout_s)
        self._closing.set()
        self._thread.join(timeout_s)
        return unanswered

    def _on_delivery(self, event_id: UUID, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._acknowledged.append(event_id)
        else:
            logger.warning("outbox.not_taken", extra={"event_id": str(event_id), "error": str(error)})

    def _serve(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.is_set()
            self._producer.poll(0 if closing else POLL_S)
            done = [self._acknowledged.popleft() for _ in range(len(self._acknowledged))]
            if done:
                self._delete(done)
        connection.close()

    def _delete(self, done: list[UUID]) -> None:
        try:
            store.delete_outbox(done)
        except Exception:
            # Whatever it was, without this thread nothing would leave the outbox here again. The rows stay and the relay
            # sends them once more; the ingest drops the repeats.
            logger.exception("outbox.delete_failed", extra={"count": len(done)})
            connection.close()


_lock = threading.Lock()
_producers: dict[int, OutboxProducer] = {}


def outbox_producer() -> OutboxProducer:
    """The one of this process, made at its first use: librdkafka's threads do not survive a fork."""
    with _lock:
        if os.getpid() not in _producers:
            _producers[os.getpid()] = OutboxProducer()
        return _producers[os.getpid()]


def close_outbox_producer(timeout_s: float) -> int:
    """Before the process ends; see OutboxProducer.close. The next use makes another."""
    with _lock:
        producer = _producers.pop(os.getpid(), None)
    return producer.close(timeout_s) if producer else 0


OutboxEntry = tuple[UUID, str, KafkaHeaders, bytes]  # event id, Kafka key, headers, value


def produce_and_wait(producer: Producer, messages: Sequence[OutboxEntry], go_on: Callable[[], bool]) -> list[UUID]:
    """Produce and wait for every answer while `go_on()`. Returns the ids of what Kafka took."""
    taken: list[UUID] = []

    def note(event_id: UUID, error: KafkaError | None, message: Message) -> None:
        if error is None:
            taken.append(event_id)

    topic = settings.KAFKA_EVENTS_TOPIC
    for event_id, key, headers, value in messages:
        full: list[tuple[str, str | bytes | None]] = [*headers, (EVENT_ID_HEADER, event_id.hex.encode())]
        try:
            producer.produce(topic, key=key, value=value, headers=full, on_delivery=partial(note, event_id))
        except (BufferError, KafkaException) as error:
            logger.warning("outbox.not_taken", extra={"event_id": str(event_id), "error": str(error)})
    while go_on() and producer.flush(POLL_S):
        pass
    return taken
