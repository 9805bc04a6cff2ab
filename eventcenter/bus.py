"""Kafka, outgoing: the producer of this process, and the acknowledgements that empty the outbox."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from django.conf import settings
from django.db import Error, connection
from opentelemetry.trace import Span

from eventcenter import store
from eventcenter.tracing import bus_spans, spans

logger = logging.getLogger(__name__)

# What waits for Kafka in one process. More is left to the relay, so that memory does not fill up while Kafka is away.
QUEUE_MESSAGES = 50_000
QUEUE_KBYTES = 64 * 1024
POLL_S = 0.05
# How soon an event follows the one before it that another process was just sending: Kafka takes some milliseconds.
TURN_POLL_S = 0.02
# What waits longer than so long for its turn is old enough for the relay (eventcenter.relay.LEFT_ALONE).
TURN_WAIT_S = 3.0
TURN_WAITERS_MOST = 1_000
# The relay gives one group so long; it sends what remains again, from the oldest.
GROUP_PATIENCE_S = 5.0
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
    """What it is given goes to each partition in that order, and acks=all keeps what the 202 promised.

    One request at a time: librdkafka puts what must be sent again before what came later (its issue 1092). No message
    times out: the one behind it could then be taken, and overtake it. Its own idempotence would drop repeats, which the
    ingest does anyway, and brings errors that end a producer for good.
    """
    config = {"acks": "all", "linger.ms": 2, "compression.type": "zstd", "socket.nagle.disable": True}
    order = {"max.in.flight.requests.per.connection": 1, "message.timeout.ms": 0}
    limits = {"queue.buffering.max.messages": QUEUE_MESSAGES, "queue.buffering.max.kbytes": QUEUE_KBYTES}
    return Producer(kafka_config(**config, **order, **limits, **more))


def create_topics() -> list[str]:
    """Make the topics that are not there. Returns the names of those made. Raises KafkaException."""
    admin = AdminClient(kafka_config())
    made = []
    for name, future in admin.create_topics(_topics()).items():
        try:
            future.result(timeout=30)
            made.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    return made


def _topics() -> list[NewTopic]:
    """Heads are few and kept for good: one partition, of which Kafka keeps the last message of each key."""
    partitions, copies = settings.KAFKA_EVENTS_PARTITIONS, settings.KAFKA_REPLICATION_FACTOR
    for_a_while = {"retention.ms": str(settings.KAFKA_EVENTS_RETENTION_HOURS * 3_600_000)}
    return [
        NewTopic(settings.KAFKA_EVENTS_TOPIC, partitions, copies, config=for_a_while),
        NewTopic(settings.KAFKA_AUDIT_ENTRIES_TOPIC, partitions, copies, config=for_a_while),
        NewTopic(settings.KAFKA_AUDIT_HEADS_TOPIC, 1, copies, config={"cleanup.policy": "compact"}),
    ]


OutboxEntry = tuple[UUID, str, KafkaHeaders, bytes]  # event id, Kafka key, headers, value


class Waiter(NamedTuple):
    """An event that must not go before another one of its key is with Kafka."""

    entry: OutboxEntry
    ahead: UUID
    until: float  # monotonic seconds


class OutboxProducer:
    """Produces accepted events and deletes their outbox rows as Kafka acknowledges them.

    `send` never waits for Kafka and never raises for its absence: the row stays, and the relay sends it later. A thread of
    its own serves the acknowledgements in groups.

    Events of one key that are published one after the other stand in that order on the bus, whichever processes took
    them: one is produced only when the one before it was acknowledged (its row is gone), or went through this producer,
    which keeps the order. Else it waits for its turn here, and after a while it is the relay's, which sends the oldest
    first. Whoever sends an event has sent those before it, or knows that Kafka has them; so of several senders of the
    same events, as after an outage, none brings a later one first. (Before and after are the ids' order: the hosts'
    clocks may differ by less than lies between two such calls.)
    """

    def __init__(self) -> None:
        self._producer = new_producer()
        self._acknowledged: deque[UUID] = deque()
        self._lock = threading.Lock()  # over the next two
        self._sent: set[UUID] = set()  # given to the producer, their rows not deleted yet
        self._waiters: list[Waiter] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="outbox-acks", daemon=True)
        self._thread.start()

    def send(self, entries: Sequence[OutboxEntry]) -> None:
        """After the commit that kept them; in this order."""
        if not entries:
            return
        try:
            ahead = store.ahead_in_outbox([(event_id, key) for event_id, key, _, _ in entries])
        except Error:
            logger.warning("outbox.left_to_relay", extra={"count": len(entries)}, exc_info=True)
            return
        until = time.monotonic() + TURN_WAIT_S
        with self._lock:
            for entry in entries:
                before = ahead.get(entry[0])
                if before is None or before in self._sent:
                    self._produce(entry)
                elif len(self._waiters) < TURN_WAITERS_MOST:
                    self._waiters.append(Waiter(entry, before, until))

    def close(self, timeout_s: float) -> int:
        """Wait, at most so long, until Kafka answered for all that was sent, and delete the rows of what it took. Returns
        how many are left to the relay."""
        unanswered = self._producer.flush(timeout_s)
        self._closing.set()
        self._thread.join(timeout_s)
        return unanswered + len(self._waiters)

    def _produce(self, entry: OutboxEntry) -> None:
        event_id, key, headers, value = entry
        sent, span = bus_spans.sending(event_id, settings.KAFKA_EVENTS_TOPIC, headers)
        try:
            self._producer.produce(
                settings.KAFKA_EVENTS_TOPIC,
                key=key,
                value=value,
                headers=_with_id(sent, event_id),
                on_delivery=partial(self._on_delivery, entry, span),
            )
            self._sent.add(event_id)
        except (BufferError, KafkaException) as error:
            spans.end(span, type(error).__name__)
            logger.warning("outbox.left_to_relay", extra=_fields(entry, error))

    def _on_delivery(self, entry: OutboxEntry, span: Span | None, error: KafkaError | None, message: Message) -> None:
        spans.end(span, error.name() if error else "")
        if error is None:
            self._acknowledged.append(entry[0])
        else:
            self._sent.discard(entry[0])
            logger.warning("outbox.not_taken", extra=_fields(entry, error))

    def _serve(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.is_set()
            self._producer.poll(0 if closing else TURN_POLL_S if self._waiters else POLL_S)
            done = [self._acknowledged.popleft() for _ in range(len(self._acknowledged))]
            if done:
                self._guarded(partial(self._delete, done), "outbox.delete_failed", len(done))
            if self._waiters:
                self._guarded(self._give_turns, "outbox.turns_unknown", len(self._waiters))
        connection.close()

    def _guarded(self, work: Callable[[], None], event: str, count: int) -> None:
        try:
            work()
        except Exception:
            # Whatever it was, without this thread nothing would leave the outbox here again. The rows stay and the relay
            # sends them once more; the ingest drops the repeats.
            logger.exception(event, extra={"count": count})
            connection.close()

    def _delete(self, done: list[UUID]) -> None:
        try:
            store.delete_outbox(done)
        finally:
            with self._lock:
                self._sent.difference_update(done)

    def _give_turns(self) -> None:
        """Produce what need not wait any longer; what the relay has by now, or will have, is forgotten."""
        now = time.monotonic()
        with self._lock:
            asked = {event_id for waiter in self._waiters for event_id in (waiter.ahead, waiter.entry[0])}
        there = store.in_outbox(asked)
        with self._lock:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                event_id = waiter.entry[0]
                if event_id not in asked:
                    self._waiters.append(waiter)  # it came meanwhile
                elif event_id not in there or now > waiter.until:
                    continue
                elif waiter.ahead not in there or waiter.ahead in self._sent:
                    self._produce(waiter.entry)
                else:
                    self._waiters.append(waiter)


def _fields(entry: OutboxEntry, error: object) -> dict[str, str]:
    """Of a log line about one event."""
    return {"event_id": str(entry[0]), "trace_id": bus_spans.trace_of(entry[2]), "error": str(error)}


def _with_id(headers: KafkaHeaders, event_id: UUID) -> list[tuple[str, str | bytes | None]]:
    return [*headers, (EVENT_ID_HEADER, event_id.hex.encode())]


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


def produce_and_wait(producer: Producer, messages: Sequence[OutboxEntry], go_on: Callable[[], bool]) -> list[UUID]:
    """Produce and wait for every answer while `go_on()` and for GROUP_PATIENCE_S. Returns the ids of what Kafka took.

    What it has not taken by then is withdrawn, so that none of it can be overtaken by what is behind it.
    """
    taken: list[UUID] = []

    def note(event_id: UUID, span: Span | None, error: KafkaError | None, message: Message) -> None:
        spans.end(span, error.name() if error else "")
        if error is None:
            taken.append(event_id)

    for entry in messages:
        event_id, key, headers, value = entry
        sent, span = bus_spans.sending(event_id, settings.KAFKA_EVENTS_TOPIC, headers)
        try:
            producer.produce(
                settings.KAFKA_EVENTS_TOPIC,
                key=key,
                value=value,
                headers=_with_id(sent, event_id),
                on_delivery=partial(note, event_id, span),
            )
        except KafkaException as error:  # it can never be sent; the others do not wait for it
            spans.end(span, type(error).__name__)
            logger.warning("outbox.not_taken", extra=_fields(entry, error))
        except BufferError:
            break  # what is behind it must not overtake it
    ends_at = time.monotonic() + GROUP_PATIENCE_S
    while go_on() and producer.flush(POLL_S) and time.monotonic() < ends_at:
        pass
    if len(producer):
        producer.purge()
        producer.flush(POLL_S)
    return taken
