"""The audit topics as tests read them: all that is there now."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, TopicPartition

from eventcenter.bus import kafka_config


class Seen(NamedTuple):
    key: str
    headers: dict[str, str]
    value: Any


def messages(topic: str) -> list[Seen]:
    more = {"group.id": uuid4().hex, "enable.partition.eof": True, "auto.offset.reset": "earliest"}
    consumer = Consumer(kafka_config(**more))
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        seen, open_ends = [], set(partitions)
        while open_ends:
            message = consumer.poll(10)
            assert message is not None
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF
                open_ends.discard(message.partition())
            else:
                headers = {name: value.decode() for name, value in message.headers() or []}
                seen.append(Seen(message.key().decode(), headers, json.loads(message.value())))
        return seen
    finally:
        consumer.close()
