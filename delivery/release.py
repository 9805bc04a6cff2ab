"""Letting held deliveries go: as soon as nothing holds their endpoint any longer, a few at a time.

How many of an endpoint may be on their way at once is a window like TCP's slow start (RFC 5681): small after a hold,
larger each time that all came back, smaller when some were put back. So an endpoint that recovers with thousands waiting
is ramped up at the speed of its own answers. Endpoints with a rate limit are let go at the pace of the limit instead.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from delivery import store
from delivery.health.breakers import Board
from delivery.ingest import UNCLAIMED_LEASE_S
from delivery.limiting.limits import RESERVE_HORIZON_S, Limiter, SlotRequest
from delivery.models import DispatchLane
from delivery.outcome import ErrorKind
from delivery.planning import DISPATCH_DELIVERIES
from delivery.store import Hint, NewDispatch
from subscriptions.models import EndpointState
from subscriptions.routing import DeliverySettings, Sink, delivery_settings

FIRST_WINDOW = 20
WINDOW_GROWTH = 1.5  # a step; with four steps a second 20 become 1,000 in two and a half seconds
MOST_WINDOW = 1_000
# More than one horizon's worth on its way keeps the limiter's reservations gapless from step to step.
LIMITED_AHEAD = 1.3
# Deliveries of a deleted or disabled endpoint only end as dead.
ENDING_MOST = 500
# Finding the endpoints costs an index probe for each of them and each day.
LOOK_EVERY_S = 1.0
# Many held endpoints must not keep the sweep from its other work.
STEP_MOST_S = 0.25


@dataclass(slots=True)
class Window:
    """How many of an endpoint's deliveries may be on their way."""

    size: float = FIRST_WINDOW
    used: bool = False  # since it last changed

    def room(self, outstanding: int) -> int:
        if outstanding == 0 and self.used:
            self.size, self.used = min(self.size * WINDOW_GROWTH, MOST_WINDOW), False
        return int(self.size) - outstanding

    def let_go(self, reasons: Iterable[str]) -> None:
        """`reasons`: what had held those that were let go. Too many in flight: some of the last ones were put back."""
        self.used = True
        if ErrorKind.IN_FLIGHT_CAP in reasons:
            self.size, self.used = max(self.size / 2, 1.0), False


class Releaser:
    """One a sweep process. Rows are taken with SKIP LOCKED, so several may run; each counts what all let go."""

    def __init__(self, board: Board, limiter: Limiter) -> None:
        self._board = board
        self._limiter = limiter
        self._windows: dict[int, Window] = {}
        self._endpoints: deque[int] = deque()  # in turn, over several steps when there are many
        self._looked_at = float("-inf")

    def step(self, now: datetime) -> list[Hint]:
        """The hints of what was let go, to be published by the caller."""
        if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            self._look()
        if not self._endpoints:
            return []
        outstanding, known = store.outstanding(), delivery_settings.get()
        made: list[Hint] = []
        ends_at = time.monotonic() + STEP_MOST_S
        for _ in range(len(self._endpoints)):
            endpoint_id = self._endpoints.popleft()
            most = self._most(endpoint_id, outstanding.get(endpoint_id, 0), known, now)
            hints = self._let_go(endpoint_id, most, now) if most > 0 else []
            made += hints
            if hints or most <= 0:
                self._endpoints.append(endpoint_id)  # else nothing of it is held any more
            if time.monotonic() > ends_at:
                break
        return made

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        held = store.held_endpoints()
        known = set(self._endpoints)
        self._endpoints.extend(endpoint_id for endpoint_id in held if endpoint_id not in known)
        for endpoint_id in self._windows.keys() - set(self._endpoints):
            del self._windows[endpoint_id]

    def _most(self, endpoint_id: int, outstanding: int, known: DeliverySettings, now: datetime) -> int:
        sink = known.sinks.get(endpoint_id)
        if sink is None or sink.state == EndpointState.DISABLED:
            return ENDING_MOST - outstanding
        held = sink.state == EndpointState.PAUSED or sink.secrets_unreadable or self._board.hold(endpoint_id, now)
        if held:
            self._windows.pop(endpoint_id, None)
            return 0
        if self._board.probe_is_due(endpoint_id, now):
            return 1 - outstanding
        if sink.rate_limit or sink.tenant_rate_limit:
            return self._within_limit(sink, outstanding)
        return self._windows.setdefault(endpoint_id, Window()).room(outstanding)

    def _within_limit(self, sink: Sink, outstanding: int) -> int:
        rate = min(sink.rate_limit or float("inf"), sink.tenant_rate_limit or float("inf"))
        ahead = max(int(rate * RESERVE_HORIZON_S * LIMITED_AHEAD), 1) - outstanding
        if ahead <= 0:
            return 0
        request = SlotRequest(sink.endpoint_id, sink.tenant_id, sink.rate_limit, sink.tenant_rate_limit, ahead)
        return min(ahead, self._limiter.room([request])[0])

    def _let_go(self, endpoint_id: int, most: int, now: datetime) -> list[Hint]:
        with transaction.atomic():
            taken = store.let_go(endpoint_id, most)
            made = store.insert_dispatches(_batches(endpoint_id, [row[0] for row in taken]), UNCLAIMED_LEASE_S, now)
        if taken and endpoint_id in self._windows:
            self._windows[endpoint_id].let_go({reason for _, reason in taken})
        return made


def _batches(endpoint_id: int, ids: list[UUID]) -> list[NewDispatch]:
    return [
        NewDispatch(DispatchLane.RETRY.value, ids[start : start + DISPATCH_DELIVERIES], None, endpoint_id)
        for start in range(0, len(ids), DISPATCH_DELIVERIES)
    ]
