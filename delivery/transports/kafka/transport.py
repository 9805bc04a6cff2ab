"""The Kafka channel's sender: librdkafka's own threads send; its delivery reports become outcomes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Report
from django.conf import settings

from delivery.outcome import ErrorKind, Outcome, OutcomeKind, deferred
from delivery.transports.base import Gate, Message
from delivery.transports.front import Front
from delivery.transports.kafka.request import KafkaMessage
from delivery.transports.lane_engine import LaneEngine
from delivery.transports.lanes import MIN_HOLD_S, Limits
from subscriptions.channels.kafka import check_cluster, check_topic

logger = logging.getLogger(__name__)

IN_FLIGHT = 400
POLL_S = 0.2
# librdkafka's message.timeout.ms is a producer's, not a message's: an endpoint gets the longest of these that its own
# timeout allows, so a process has few producers and a message that was given up is never sent after all.
TIMEOUTS_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0)
# A topic that no broker knows is waited for by so much, not by librdkafka's 30 s.
UNKNOWN_TOPIC_WAIT_MS = 3_000
# The broker has the last word (its message.max.bytes); events are at most 5 MiB.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
PERMANENT_ERRORS = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})
TIMEOUT_ERRORS = frozenset({KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT})
WORDS = {
    KafkaError._UNKNOWN_TOPIC: "the cluster has no such topic",
    KafkaError._UNKNOWN_PARTITION: "the cluster has no such topic",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "the cluster has no such topic",
    KafkaError.MSG_SIZE_TOO_LARGE: "the message is larger than the topic takes",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the cluster does not let us write to this topic",
    KafkaError._ALL_BROKERS_DOWN: "no broker of the cluster can be reached",
    KafkaError._TRANSPORT: "no broker of the cluster can be reached",
}


def transport(gate: Gate) -> Front:
    """A Transport; no producer is opened before the first `send` to its cluster."""
    limits = Limits(in_flight=IN_FLIGHT, in_flight_per_endpoint=IN_FLIGHT // 2)
    return Front("kafka", limits, partial(KafkaEngine, "kafka", limits, gate))


class KafkaEngine(LaneEngine):
    """Producers by cluster and timeout, each with a thread that serves its reports."""

    def __init__(self, name: str, limits: Limits, gate: Gate, tell_room: Callable[[], None]) -> None:
        super().__init__(name, limits, gate, tell_room)
        self._producers: dict[tuple[str, float], Producer] = {}
        self._closing = threading.Event()

    def _begin(self, number: int, message: Message) -> None:
        assert isinstance(message, KafkaMessage)
        fault = check_cluster(message.cluster) or check_topic(message.topic)
        if fault is not None:
            self.done(number, Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.BROKER, error=fault))
            return
        try:
            self._producer(message).produce(
                message.topic,
                value=message.body,
                key=message.key,
                headers=[(name, value.encode()) for name, value in message.headers],
                on_delivery=partial(self._on_delivery, number, message.timeout_s),
            )
        except BufferError:
            self.done(number, deferred(ErrorKind.IN_FLIGHT_CAP, "too much waits for the cluster", MIN_HOLD_S))
        except KafkaException as error:
            self.done(number, failure(error.args[0], message.timeout_s))

    def _producer(self, message: KafkaMessage) -> Producer:
        """Chosen by cluster and the longest bucket that fits the endpoint's timeout."""
        timeout_s = max((bucket for bucket in TIMEOUTS_S if bucket <= message.timeout_s), default=TIMEOUTS_S[0])
        known = self._producers.get((message.cluster, timeout_s))
        if known is None:
            known = Producer(producer_config(settings.KAFKA_CHANNEL_CLUSTERS[message.cluster], timeout_s))
            self._producers[message.cluster, timeout_s] = known
            threading.Thread(target=self._serve, args=(known,), name="kafka-reports", daemon=True).start()
        return known

    def _serve(self, producer: Producer) -> None:
        while not self._closing.is_set():
            producer.poll(POLL_S)

    def _on_delivery(self, number: int, timeout_s: float, error: KafkaError | None, report: Report) -> None:
        self.done(number, failure(error, timeout_s) if error is not None else _delivered(report))

    def _end(self) -> None:
        """What is still in librdkafka's queues was reported as cut off; it must not go out later."""
        self._closing.set()
        for producer in self._producers.values():
            producer.purge(in_queue=True, in_flight=True, blocking=False)


def producer_config(servers: str, timeout_s: float) -> dict[str, object]:
    """Without idempotence: a fatal error of it would end the producer, and consumers drop repeats by the delivery id."""
    return {
        "bootstrap.servers": servers,
        "client.id": "event-center-deliveries",
        "logger": logger,
        "acks": "all",
        "linger.ms": 2,
        "message.timeout.ms": int(timeout_s * 1000),
        "topic.metadata.propagation.max.ms": min(UNKNOWN_TOPIC_WAIT_MS, int(timeout_s * 500)),
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "socket.nagle.disable": True,
    }


def failure(error: KafkaError, timeout_s: float) -> Outcome:
    """The outcome for librdkafka's error. What the cluster's admin can mend is tried again."""
    code = error.code()
    if code in TIMEOUT_ERRORS:
        words = f"the cluster did not confirm within {timeout_s:g} s"
        return Outcome(OutcomeKind.FAILED, error_kind=ErrorKind.TIMEOUT, error=words)
    kind = OutcomeKind.PERMANENT if code in PERMANENT_ERRORS else OutcomeKind.FAILED
    return Outcome(kind, error_kind=ErrorKind.BROKER, error=WORDS.get(code, f"the cluster refused: {error.str()}"))


def _delivered(report: Report) -> Outcome:
    where = (("kafka-partition", str(report.partition())), ("kafka-offset", str(report.offset())))
    return Outcome(OutcomeKind.DELIVERED, response_headers=where)
