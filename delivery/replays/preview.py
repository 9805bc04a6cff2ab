"""What a replay, or a cancel of many, would take: its count, a few of its rows, whose they are."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from delivery.models import Delivery
from delivery.replays import store
from delivery.replays.criteria import Criteria
from subscriptions.models import Endpoint

COUNT_MOST = 1_000_000
SAMPLE_ROWS = 5
TOLD_ROWS = 1_000
TOLD_LOOKS = 20_000
ENDPOINTS_MOST = 8
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


@dataclass(frozen=True, slots=True)
class Told:
    """What people are asked about. `endpoints`: (tenant and endpoint, how many of its deliveries), the most affected first,
    among the `among` oldest; `all_told`: these are all there are."""

    sample: list[Delivery]
    endpoints: list[tuple[str, int]]
    among: int
    all_told: bool


def told(criteria: Criteria, bound: datetime) -> Told:
    """Of the oldest ones that fit now; empty when they are far behind others that do not. Three queries."""
    seen = store.look(criteria, store.span_of(criteria, bound), TOLD_LOOKS, TOLD_ROWS)
    counts = Counter(item.endpoint_id for item in seen.found).most_common()
    rows = Endpoint.everything.filter(pk__in=[key for key, _ in counts[:ENDPOINTS_MOST]]).select_related("tenant")
    names = {row.pk: f"{row.tenant.slug} / {row.slug}" for row in rows}
    endpoints = [(names.get(key, f"#{key}"), count) for key, count in counts[:ENDPOINTS_MOST]]
    first = _rows([item.id for item in seen.found[:SAMPLE_ROWS]])
    return Told(first, endpoints, len(seen.found), seen.reached is None and len(counts) <= ENDPOINTS_MOST)


def sample(criteria: Criteria, bound: datetime, most: int = SAMPLE_ROWS) -> list[Delivery]:
    """The oldest ones that fit now; empty when they are far behind others that do not."""
    found = store.look(criteria, store.span_of(criteria, bound), COUNT_LOOKS, most).found
    return _rows([item.id for item in found])


def _rows(ids: list[UUID]) -> list[Delivery]:
    rows = Delivery.objects.for_console().order_by("pk")
    return list(rows.filter(pk__in=ids, pk__range=(ids[0], ids[-1]))) if ids else []
