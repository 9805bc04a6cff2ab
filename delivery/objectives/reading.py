"""The report of a span of time, from stored counters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from delivery.objectives.report import Report, report
from delivery.telemetry import sums
from delivery.telemetry.sums import hour_of
from subscriptions.models import Tenant


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes that begin in [since, until). It begins with an hour, so that kept hours fit when minutes are forgotten, and
    ends with the last full minute, which counts no more."""

    since: datetime
    until: datetime


def last_days(days: int, now: datetime) -> Span:
    return Span(hour_of(now - timedelta(days=days)), now.replace(second=0, microsecond=0))


def read(span: Span, tenants: Collection[int] | None = None) -> Report:
    """Of all tenants, or of some, by their ids. Two queries."""
    found = sums.by_tenant(span.since, span.until)
    chosen = found if tenants is None else {key: found[key] for key in found if key in tenants}
    names = Tenant.objects.filter(pk__in=chosen).values_list("pk", "slug")
    return report(chosen, dict(names))
