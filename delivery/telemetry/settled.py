"""Totals since ever at the cost of a few minutes' rows: what does not change any more is added up once and remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from delivery.telemetry.sums import EPOCH, FOREVER

T = TypeVar("T")

# A row of an older minute does not change any more: a writer adds to the minute in which its transaction began.
SETTLED_AFTER = timedelta(minutes=10)
# Minutes are forgotten after days. Who was not asked for so long begins again, with the hours that are kept instead.
REMEMBERED_FOR = timedelta(hours=1)


class Settled(Generic[T]):
    """`read_span(since, until)` gives what was counted in a span, and `add` what two spans that meet come to.

    Processes that began at different times read the same, since spans add up exactly.
    """

    def __init__(self, read_span: Callable[[datetime, datetime], T], add: Callable[[T, T], T]) -> None:
        self._read_span = read_span
        self._add = add
        self._known: tuple[T, datetime] | None = None  # the sum, and where it ends
        self._lock = threading.Lock()

    def read(self, now: datetime) -> T:
        edge = (now - SETTLED_AFTER).replace(second=0, microsecond=0)
        with self._lock:
            known = self._known
            if known is None or now - known[1] > REMEMBERED_FOR:
                known = (self._read_span(EPOCH, edge), edge)
            elif edge > known[1]:
                known = (self._add(known[0], self._read_span(known[1], edge)), edge)
            self._known = known
        return self._add(known[0], self._read_span(known[1], FOREVER))
