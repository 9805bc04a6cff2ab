"""What a replay would take: its count and a few of its rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from delivery.models import Delivery
from delivery.replays import store
from delivery.replays.criteria import Criteria

COUNT_MOST = 1_000_000
SAMPLE_ROWS = 5
# A count is read in parts, so that it can stop when somebody has waited long enough for a page.
COUNT_LOOKS = 50_000
COUNT_TIME_S = 5.0


@dataclass(frozen=True, slots=True)
class Preview:
    """`exact` False: there are at least so many. `sample`: the oldest ones, with what a list row shows."""

    total: int
    exact: bool
    sample: list[Delivery]


def preview(criteria: Criteria, bound: datetime) -> Preview:
    """`bound`: deliveries planned later are not part of it."""
    total, exact = counted(criteria, bound)
    return Preview(total, exact, sample(criteria, bound) if total else [])


def counted(criteria: Criteria, bound: datetime, most: int = COUNT_MOST) -> tuple[int, bool]:
    """(count, whether it is all): stops at `most`, or when its time is over."""
    span, total, ends_at = store.span_of(criteria, bound), 0, time.monotonic() + COUNT_TIME_S
    while True:
        found, reached = store.count(criteria, span, COUNT_LOOKS)
        total += found
        if total > most:
            return most, False
        if reached is None:
            return total, True
        if time.monotonic() > ends_at:
            return total, False
        span = span._replace(after=reached)


def sample(criteria: Criteria, bound: datetime, most: int = SAMPLE_ROWS) -> list[Delivery]:
    """The oldest ones that fit now; empty when they are far behind others that do not."""
    found = store.look(criteria, store.span_of(criteria, bound), COUNT_LOOKS, most).found
    rows = Delivery.objects.for_console().order_by("pk")
    ids = [item.id for item in found]
    return list(rows.filter(pk__in=ids, pk__range=(ids[0], ids[-1]))) if ids else []
