"""Messages to Kafka whose acknowledgement is waited for, when somebody keeps what was not taken."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from eventcenter.bus import POLL_S, KafkaHeaders

logger = logging.getLogger(__name__)

# So long a step waits for Kafka; what it has not taken by then is withdrawn and sent again later. Together with the
# outbox's own wait it stays well below the silence that readiness allows (eventcenter.health.SILENT_AFTER).
PATIENCE_S = 2.0


class Outgoing(NamedTuple):
    key: str
    headers: KafkaHeaders
    value: bytes


def send(producer: Producer, topic: str, messages: Sequence[Outgoing], go_on: Callable[[], bool]) -> list[bool]:
    """For each message whether Kafka acknowledged it. One that is not among them may be there all the same."""
    taken = [False] * len(messages)

    def note(index: int, error: KafkaError | None, message: Message) -> None:
        taken[index] = error is None
        if error is not None:
            logger.info("kafka.not_taken", extra={"topic": topic, "error": str(error)})

    try:
        for index, each in enumerate(messages):
            headers: list[tuple[str, str | bytes | None]] = [*each.headers]
            producer.produce(topic, each.value, each.key, headers=headers, on_delivery=partial(note, index))
    except (BufferError, KafkaException) as error:  # what is behind it must not overtake it
        logger.warning("kafka.not_taken", extra={"topic": topic, "error": str(error)})
    ends_at = time.monotonic() + PATIENCE_S
    while go_on() and producer.flush(POLL_S) and time.monotonic() < ends_at:
        pass
    if len(producer):
        producer.purge()
        producer.flush(POLL_S)
    return taken
