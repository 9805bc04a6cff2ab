"""The console channel's sender: one thread that writes what has come meanwhile in one statement."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue

from django.db import Error, IntegrityError, InterfaceError, OperationalError, connection

from delivery import feed
from delivery.outcome import ErrorKind, Outcome, OutcomeKind, deferred
from delivery.transports.base import Gate, Message
from delivery.transports.console.request import FeedMessage
from delivery.transports.front import Front
from delivery.transports.lane_engine import FAULT, LaneEngine
from delivery.transports.lanes import MIN_HOLD_S, Limits

logger = logging.getLogger(__name__)

IN_FLIGHT = 400
GROUP_MOST = 200

WRITTEN = Outcome(OutcomeKind.DELIVERED)
AWAY = deferred(ErrorKind.INTERNAL, "the database is away", MIN_HOLD_S)
DELETED = Outcome(
    OutcomeKind.PERMANENT, error_kind=ErrorKind.ENDPOINT_DELETED, error="The endpoint or its tenant was deleted."
)

Item = tuple[int, FeedMessage]


def transport(gate: Gate) -> Front:
    """A Transport."""
    limits = Limits(in_flight=IN_FLIGHT, in_flight_per_endpoint=IN_FLIGHT // 2)
    return Front("console", limits, partial(FeedEngine, "console", limits, gate))


class FeedEngine(LaneEngine):
    """The writer's thread begins with the first message."""

    def __init__(self, name: str, limits: Limits, gate: Gate, tell_room: Callable[[], None]) -> None:
        super().__init__(name, limits, gate, tell_room)
        self._items: SimpleQueue[Item | None] = SimpleQueue()
        self._writer: threading.Thread | None = None

    def _begin(self, number: int, message: Message) -> None:
        assert isinstance(message, FeedMessage)
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="feed-writer", daemon=True)
            self._writer.start()
        self._items.put((number, message))

    def _end(self) -> None:
        if self._writer is not None:
            self._items.put(None)
            self._writer.join(1.0)

    # The writer's thread.

    def _write(self) -> None:
        taken: list[Item | None] = []
        while None not in taken:
            taken = self._taken()
            items = [item for item in taken if item is not None]
            if items:
                self._insert(items)
        connection.close()

    def _taken(self) -> list[Item | None]:
        taken = [self._items.get()]
        with suppress(Empty):
            while len(taken) < GROUP_MOST and taken[-1] is not None:
                taken.append(self._items.get_nowait())
        return taken

    def _insert(self, items: Sequence[Item]) -> None:
        try:
            feed.insert([_line(message) for _, message in items])
            outcome = WRITTEN
        except (OperationalError, InterfaceError):
            logger.warning("feed.database_lost", exc_info=True, extra={"waiting": len(items)})
            connection.close()
            outcome = AWAY
        except Error as error:
            if len(items) > 1:  # one of them is refused; each alone tells which
                for item in items:
                    self._insert([item])
                return
            logger.warning("feed.line_refused", exc_info=True, extra={"delivery_id": str(items[0][1].delivery_id)})
            outcome = DELETED if isinstance(error, IntegrityError) else FAULT
        for number, _ in items:
            self.done(number, outcome)


def _line(message: FeedMessage) -> feed.Line:
    return feed.Line(
        message.delivery_id,
        message.tenant_id,
        message.endpoint_id,
        message.type,
        message.subject,
        message.severity,
        message.summary,
    )
