"""Reading a topic by our own consumer, in tests."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from eventcenter.consumer import BusConsumer, BusMessage
from eventcenter.models import ConsumerOffset
from tests.waiting import eventually


def read(consumer: BusConsumer, count: int) -> list[BusMessage]:
    """The next `count` messages."""
    found: list[BusMessage] = []

    def enough() -> bool:
        found.extend(consumer.read(count - len(found), 0.2, 0.02))
        return len(found) >= count

    eventually(enough, every_s=0)
    return found


def commit(consumer: BusConsumer, messages: Sequence[BusMessage]) -> None:
    with transaction.atomic():
        positions = consumer.commit_positions(messages)
    consumer.committed(positions)


def places(messages: Sequence[BusMessage]) -> list[tuple[int, int]]:
    return sorted((message.partition, message.offset) for message in messages)


def stored(topic: str) -> dict[int, int]:
    return dict(ConsumerOffset.objects.filter(topic=topic).values_list("partition", "next_offset"))
