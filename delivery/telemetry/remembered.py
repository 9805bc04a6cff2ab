"""What pages read again and again, remembered for a moment by the process that reads it.

Whoever asks is part of every key, so that nobody is told what was read for somebody who may see more.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from delivery.telemetry.settled import SETTLED_AFTER
from delivery.telemetry.steps import by_step, starts
from delivery.telemetry.sums import Sums
from eventcenter import row_security

T = TypeVar("T")
Tenants = frozenset[int] | None  # None: all
KEYS_MOST = 200  # tenants and periods that are looked at within a while; a key's steps are some 30 kB


class Remembered(Generic[T]):
    """The last answer to each question, until it is so many seconds old."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[Hashable, tuple[T, float]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, key: Hashable, ask: Callable[[], T], good_for_s: Callable[[T], float]) -> T:
        """Two that ask at once may both read; `ask` raises what it raises, and nothing is remembered then."""
        whole = (key, _scope())
        with self._lock:
            known = self._known.get(whole)
        if known is not None and self._clock() < known[1]:
            return known[0]
        value = ask()
        with self._lock:
            self._known[whole] = (value, self._clock() + good_for_s(value))
            self._known.move_to_end(whole)
            while len(self._known) > KEYS_MOST:
                self._known.popitem(last=False)
        return value

    def forget(self) -> None:
        with self._lock:
            self._known.clear()


class StepMemory:
    """As delivery.telemetry.steps.by_step, but what is settled is read once: a poll costs the last minutes' rows."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, dict[datetime, Sums]] = OrderedDict()
        self._lock = threading.Lock()

    def read(
        self, since: datetime, until: datetime, step: timedelta, tenants: Tenants, now: datetime
    ) -> dict[datetime, Sums]:
        """Spans of one step should begin at the same minutes (9:00, 9:15 …), or they share nothing."""
        key = (step, tenants, _scope())
        with self._lock:
            known = self._known.get(key, {})
        wanted = list(starts(since, until, step))
        first = next((start for start in wanted if start not in known), until)
        found = {start: known[start] for start in wanted if start < first} | by_step(first, until, step, tenants)
        edge = min(now - SETTLED_AFTER, until)
        with self._lock:
            self._known[key] = {start: sums for start, sums in found.items() if start + step <= edge}
            self._known.move_to_end(key)
            while len(self._known) > KEYS_MOST:
                self._known.popitem(last=False)
        return found

    def forget(self) -> None:
        with self._lock:
            self._known.clear()


def _scope() -> Hashable:
    """Whose rows PostgreSQL shows right now."""
    current = row_security.current()
    return current if current is None or current is row_security.ALL else frozenset(current)
