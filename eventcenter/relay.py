"""The relay: what stayed in the outbox goes to Kafka, for as long as it takes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from confluent_kafka import Producer
from django.utils import timezone

from eventcenter import store
from eventcenter.bus import OutboxEntry, new_producer, produce_and_wait
from eventcenter.envelope import EnvelopeError, parse_structured, to_kafka
from eventcenter.ids import id_floor

logger = logging.getLogger(__name__)

# Younger rows are most likely on their way from the web process that accepted them.
LEFT_ALONE = timedelta(seconds=3)
GROUP_MOST = 1_000


def _as_message(event_id: UUID, key: str, body: bytes) -> list[OutboxEntry]:
    """One entry; none for a row that cannot be read, which stays where it is and must not hold up the others."""
    try:
        return [(event_id, key, *to_kafka(parse_structured(body)))]
    except EnvelopeError:
        logger.exception("outbox.unreadable", extra={"event_id": str(event_id)})
        return []


class OutboxRelay:
    """Two relays at once, or a relay beside a slow web process, only make repeats, which the ingest drops."""

    def __init__(self, go_on: Callable[[], bool]) -> None:
        self._go_on = go_on
        self._producer: Producer | None = None

    def step(self) -> bool:
        """Send one group, oldest first. True: Kafka took all of a full group, so there may be more."""
        waiting = store.old_outbox(id_floor(timezone.now() - LEFT_ALONE), GROUP_MOST)
        if not waiting:
            return False
        self._producer = self._producer or new_producer()
        messages = [message for row in waiting for message in _as_message(*row)]
        taken = produce_and_wait(self._producer, messages, self._go_on)
        if taken:
            store.delete_outbox(taken)
        logger.info("outbox.relayed", extra={"taken": len(taken), "waiting": len(waiting)})
        return len(taken) == GROUP_MOST
