"""Entries of the audit trail to a Kafka topic, for chains with the flag audit-streaming: at least once, in order per chain.

A chain is streamed from its first entry on, whenever its flag is turned on, and goes on where it stopped when it is turned
on again: so what is on the topic can be verified like the trail itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, takewhile

import orjson
from confluent_kafka import Producer
from django.conf import settings
from django.db import transaction

from audit import store
from audit.export import entry_data
from audit.models import StreamCursor
from audit.trail import PLATFORM_CHAIN
from audit.verify import Stored
from eventcenter.acknowledged import Outgoing, send
from eventcenter.bus import new_producer

logger = logging.getLogger(__name__)

ENTRY_TYPE = "audit.entry.recorded"
OF_CHAIN_MOST = 200
GROUP_MOST = 1_000
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    chain: str
    after: int
    entries: list[Stored]


class AuditStream:
    """Two at once only make repeats: the cursor moves by compare-and-set."""

    def __init__(self, go_on: Callable[[], bool], is_streamed: Callable[[str], bool]) -> None:
        self._go_on = go_on
        self._is_streamed = is_streamed
        self._producer: Producer | None = None
        self._look_at = float("-inf")

    def step(self) -> bool:
        """Send one group, of each chain the oldest that are not sent. True: there may be more at once."""
        if time.monotonic() < self._look_at:
            return False
        batches = self._batches()
        self._look_at = time.monotonic() + LOOK_EVERY_S
        if not batches:
            return False
        self._producer = self._producer or new_producer()
        messages = [_message(entry) for batch in batches for entry in batch.entries]
        taken = send(self._producer, settings.KAFKA_AUDIT_ENTRIES_TOPIC, messages, self._go_on)
        self._move(batches, taken)
        logger.info("audit.streamed", extra={"taken": sum(taken), "waiting": len(messages)})
        more = all(taken) and any(len(batch.entries) == OF_CHAIN_MOST for batch in batches)
        self._look_at = float("-inf") if more else self._look_at
        return more

    def _batches(self) -> list[Batch]:
        cursors = dict(StreamCursor.objects.values_list("chain", "position"))
        behind = [chain for chain, end in store.ends().items() if cursors.get(chain, 0) < end]
        batches: list[Batch] = []
        room = GROUP_MOST
        for chain in filter(self._is_streamed, behind):
            after = cursors.get(chain, 0)
            with transaction.atomic():
                entries = list(islice(store.entries(chain, after), min(OF_CHAIN_MOST, room)))
            batches.append(Batch(chain, after, entries))
            room -= len(entries)
            if room <= 0:
                break
        return batches

    def _move(self, batches: list[Batch], taken: list[bool]) -> None:
        """Each chain's cursor to the last entry before the first that Kafka did not take."""
        answers = iter(taken)
        for batch in batches:
            own = list(islice(answers, len(batch.entries)))
            reached = sum(1 for _ in takewhile(bool, own))
            if reached:
                StreamCursor.objects.get_or_create(chain=batch.chain)
                last = batch.entries[reached - 1].link.position
                StreamCursor.objects.filter(chain=batch.chain, position=batch.after).update(position=last)


def _message(entry: Stored) -> Outgoing:
    """A CloudEvent in Kafka's binary mode. The key is the chain, so that one partition has all of it, in order."""
    link = entry.link
    attributes = {
        "specversion": "1.0",
        "id": f"{link.chain}/{link.position}",
        "source": "/event-center/audit",
        "type": ENTRY_TYPE,
        "subject": link.target,
        "time": link.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }
    if link.chain != PLATFORM_CHAIN:
        attributes["tenant"] = link.chain
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    return Outgoing(link.chain, [*headers, ("content-type", b"application/json")], orjson.dumps(entry_data(entry)))
