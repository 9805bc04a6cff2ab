"""Reading the signed heads back from the bus."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from django.conf import settings

from audit.heads import Head, HeadError, parse
from eventcenter.bus import kafka_config

METADATA_S = 5.0
READ_S = 60.0  # a year of a thousand chains is 365,000 small messages: seconds
POLL_S = 0.5
FETCH_WAIT_MS = 50  # the broker's answer at the end of the topic is what we wait for


class HeadsAwayError(Exception):
    """The topic cannot be read; the text says why."""


@dataclass(slots=True)
class TopicHeads:
    """`unreadable`: one text each, for messages that are no heads. Signatures are not looked at."""

    heads: list[Head] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def read_heads(within_s: float = READ_S) -> TopicHeads:
    """All that the topic has now. Raises HeadsAwayError, after `within_s` at the latest. No group, no offsets: nothing of it
    moves."""
    consumer = Consumer(
        kafka_config(
            **{
                "group.id": "event-center-verify-audit",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": FETCH_WAIT_MS,
            }
        )
    )
    try:
        return _read(consumer, within_s)
    except KafkaException as error:
        raise HeadsAwayError(f"Kafka is away: {error.args[0].str()}") from None
    finally:
        consumer.close()


def _read(consumer: Consumer, within_s: float) -> TopicHeads:
    name = settings.KAFKA_AUDIT_HEADS_TOPIC
    ends_at = time.monotonic() + within_s
    topic = consumer.list_topics(name, timeout=min(METADATA_S, within_s)).topics[name]
    if topic.error is not None or not topic.partitions:
        raise HeadsAwayError(f"Kafka has no topic {name}; run manage.py create_topics")
    open_ends = set(topic.partitions)
    consumer.assign([TopicPartition(name, partition, 0) for partition in topic.partitions])
    found = TopicHeads()
    while open_ends:
        if time.monotonic() > ends_at:
            raise HeadsAwayError(f"Kafka did not give all of {name} within {within_s:.0f} s")
        message = consumer.poll(POLL_S)
        if message is not None:
            _take(found, message, open_ends)
    return found


def _take(found: TopicHeads, message: Message, open_ends: set[int]) -> None:
    error = message.error()
    if error is None:
        try:
            found.heads.append(parse(orjson.loads(message.value() or b"")))
        except (HeadError, orjson.JSONDecodeError):
            found.unreadable.append(f"message {message.partition()}/{message.offset()} is no head")
    elif error.code() == KafkaError._PARTITION_EOF:
        open_ends.discard(message.partition() or 0)
    elif error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT) or error.fatal():
        raise KafkaException(error)
