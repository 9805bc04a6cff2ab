"""Where the partitions of a topic begin and end, for the consumer lag."""

from __future__ import annotations

import threading
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from django.conf import settings

from eventcenter.bus import kafka_config

# What ListOffsets takes in place of a time (Kafka protocol, ListOffsets request: "timestamp").
LATEST, EARLIEST = -1, -2
TIMEOUT_S = 1.0  # each of three questions


class _Asker:
    """One client, kept: making one costs a connection and two threads. It never joins the group that it is named after.

    AdminClient.list_offsets would be the plain way. confluent-kafka 2.16 leaks memory in it (its issue 1901), and once ended our
    process with a segmentation fault.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: Consumer | None = None
        self._servers = ""

    def ends(self, topic: str, stored: frozenset[int]) -> dict[int, tuple[int, int]]:
        """Partition → (begin, end); `begin` is asked for only where it is not `stored`, and 0 there. Raises KafkaException."""
        with self._lock:
            client = self._connected()
            client.poll(0)  # its log lines wait for that
            partitions = list(client.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)
            ends = self._ask(client, topic, partitions, LATEST)
            begins = self._ask(client, topic, [each for each in partitions if each not in stored], EARLIEST)
        return {each: (begins.get(each, 0), end) for each, end in ends.items()}

    def _connected(self) -> Consumer:
        if self._client is None or self._servers != settings.KAFKA_BOOTSTRAP_SERVERS:
            self._servers = settings.KAFKA_BOOTSTRAP_SERVERS
            named = {"group.id": f"{settings.KAFKA_CONSUMER_GROUP}-lag", "enable.auto.commit": False}
            self._client = Consumer(kafka_config(**named))
        return self._client

    def _ask(self, client: Consumer, topic: str, partitions: list[int], which: int) -> dict[int, int]:
        if not partitions:
            return {}
        answers = client.offsets_for_times(
            [TopicPartition(topic, each, which) for each in partitions], timeout=TIMEOUT_S
        )
        for answer in answers:
            if answer.error is not None:
                raise KafkaException(answer.error)
        return {answer.partition: answer.offset for answer in answers}


_asker: Final = _Asker()


def topic_ends(topic: str, stored: frozenset[int]) -> dict[int, tuple[int, int]]:
    """Partition → (first offset, the next one to be written). The first one is 0 for partitions that are `stored`: nobody asks.

    Raises KafkaException, within seconds, when the broker does not answer or knows no such topic.
    """
    return _asker.ends(topic, stored)
