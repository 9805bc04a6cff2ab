"""What came of what the forges sent: added up by minute, read by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum

from eventcenter import store
from eventcenter.adapters.message import Ignored
from eventcenter.models import Adapter, AdapterCount, AdapterOutcome
from eventcenter.publishing import Receipt

SHOWN_PERIOD = timedelta(days=1)
KEPT = timedelta(days=90)  # a quarter, to compare months by; some rows a minute at most


@dataclass(frozen=True, slots=True)
class Line:
    """One outcome and its reason (empty where none is needed), and how often."""

    outcome: str
    reason: str
    count: int


def add_taken(adapter: Adapter, receipts: Sequence[Receipt], ignored: Sequence[Ignored]) -> None:
    found = Counter[tuple[str, str]]()
    for receipt in receipts:
        found[AdapterOutcome.DUPLICATE if receipt.duplicate else AdapterOutcome.ACCEPTED, ""] += 1
    for row in ignored:
        found[AdapterOutcome.IGNORED, row.reason.value] += 1
    _add(adapter, found)


def add_refused(adapter: Adapter, reason: str) -> None:
    _add(adapter, Counter({(AdapterOutcome.REFUSED, reason): 1}))


def _add(adapter: Adapter, found: Counter[tuple[str, str]]) -> None:
    if found:
        rows = [(str(outcome), reason, count) for (outcome, reason), count in found.items()]
        store.add_adapter_counts(adapter.tenant_id, adapter.pk, rows)


def lines(adapter: Adapter, now: datetime) -> list[Line]:
    """Of the last day, by outcome and reason. Index: unique (adapter, minute, …)."""
    recent = AdapterCount.objects.filter(adapter=adapter, minute__gte=now - SHOWN_PERIOD)
    sums = recent.values_list("outcome", "reason").annotate(total=Sum("count")).order_by("outcome", "reason")
    return [Line(AdapterOutcome(outcome).label, reason, total) for outcome, reason, total in sums]


def drop_old(now: datetime) -> int:
    """Part of the daily housekeeping. Returns how many rows went."""
    return AdapterCount.objects.filter(minute__lt=now - KEPT).delete()[0]
