"""Reads what the rules measure. A pass costs the same few statements however many endpoints there are.

"Over 5 minutes" means: the minute that runs, and before it every minute that began within the last 5 minutes. So it is never
less than 5 minutes that are looked at and less than a minute more, and what happens now counts with the next pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max, Sum

from delivery.alerting.judge import Reading
from delivery.alerting.kinds import RuleKind
from delivery.counters import percentile_ms
from delivery.models import Breaker, BreakerState
from delivery.telemetry import sums
from delivery.telemetry.gauges import Gauges
from delivery.telemetry.sums import EndpointSums
from eventcenter.health import ROLES
from eventcenter.models import Heartbeat, PublishRefusalCounter
from eventcenter.refusals import RefusalReason

MINUTE = timedelta(minutes=1)
LATENCY_SHARE = 0.95
# Of minute counters. All other kinds are read as they are now.
PER_ENDPOINT = (RuleKind.FAILURE_RATE, RuleKind.SIGNATURE_REFUSED, RuleKind.LATENCY, RuleKind.DEAD_LETTERS)
WINDOWED = (*PER_ENDPOINT, RuleKind.TENANT_FAILURE_RATE)
# Roles that a deployment may do without: missed only while they were seen within this time. Who evaluates is not missed by
# itself: Prometheus sees that.
OPTIONAL_ROLES = ("replays", "pager")
RETIRED_AFTER = timedelta(days=1)
START_GRACE = timedelta(seconds=30)

Windows = Mapping[int, Mapping[int, EndpointSums]]  # window in seconds → endpoint → its sums


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes from `since` on that belong to a window; `until` is after `now`, since other machines' clocks may be ahead."""

    since: datetime
    until: datetime


def span_of(window_s: int, now: datetime) -> Span:
    since = now - timedelta(seconds=window_s)
    return Span(since.replace(second=0, microsecond=0), now + MINUTE)


def by_window(windows: Iterable[int], now: datetime) -> Windows:
    """A statement a window: in practice one. Index: the minute counters' primary key."""
    spans = {window_s: span_of(window_s, now) for window_s in sorted(windows)}
    return {window_s: sums.by_endpoint(span.since, span.until) for window_s, span in spans.items()}


def endpoint_reading(kind: RuleKind, found: EndpointSums) -> Reading:
    """Pure. Of one of PER_ENDPOINT."""
    if kind is RuleKind.FAILURE_RATE:
        return share(found.failed, found.attempts)
    if kind is RuleKind.LATENCY:
        slowest_ms = percentile_ms(found.latency_buckets, LATENCY_SHARE)
        return Reading((slowest_ms or 0.0) / 1000, sum(found.latency_buckets))
    count = found.signature_refused if kind is RuleKind.SIGNATURE_REFUSED else found.dead
    return Reading(float(count), count)


def share(part: int, whole: int) -> Reading:
    return Reading(part / whole if whole else 0.0, whole)


def tenant_readings(found: Mapping[int, EndpointSums], without: Collection[int]) -> dict[int, Reading]:
    """Pure. By tenant, the share of failures at its endpoints but those that have an alert of their own."""
    counted: dict[int, tuple[int, int]] = {}
    for endpoint_id, each in found.items():
        if endpoint_id not in without:
            failed, attempts = counted.get(each.tenant_id, (0, 0))
            counted[each.tenant_id] = (failed + each.failed, attempts + each.attempts)
    return {tenant_id: share(*counts) for tenant_id, counts in counted.items()}


def wrong_signatures(windows: Iterable[int], now: datetime) -> dict[int, dict[int, Reading]]:
    """Window → tenant → publishes whose proof was wrong. A statement a window. Index: the counters' primary key.

    Calls by a key that nobody knows (tenant 0) are no tenant's, and a call without any proof is none that went wrong:
    strangers on the net would call people.
    """
    found: dict[int, dict[int, Reading]] = {}
    for window_s in sorted(windows):
        span = span_of(window_s, now)
        rows = PublishRefusalCounter.objects.filter(minute__gte=span.since, minute__lt=span.until, tenant_id__gt=0)
        rows = rows.filter(reason__in=(RefusalReason.WRONG, RefusalReason.STALE))
        counts = rows.order_by().values_list("tenant_id").annotate(total=Sum("count"))
        found[window_s] = {tenant_id: Reading(float(total), total) for tenant_id, total in counts}
    return found


def open_breakers() -> dict[tuple[int, int], Reading]:
    """(tenant, endpoint) of those that are not called. What a person opened by hand calls nobody. A scan: the table has rows
    only of endpoints that failed within about a day."""
    rows = Breaker.objects.exclude(state=BreakerState.CLOSED).filter(by_hand=False)
    return {place: Reading(1.0, 1) for place in rows.values_list("tenant_id", "endpoint_id")}


def platform_readings(found: Gauges) -> dict[RuleKind, Reading | None]:
    """Pure. None: not known, since Kafka is away."""
    lag = found.consumer_lag
    return {
        RuleKind.OLDEST_DUE: Reading(found.oldest_due_s),
        RuleKind.CONSUMER_LAG: None if lag is None else Reading(float(lag), lag),
        RuleKind.OUTBOX_STUCK: Reading(found.outbox_age_s),
    }


def silence(began: datetime, now: datetime) -> dict[str, Reading | None]:
    """Role → for how long none of its processes has given a sign of life. `began`: when somebody began to look. A role that
    was silent then is given START_GRACE; until then it is not known (None). A scan: a row a process."""
    rows = Heartbeat.objects.filter(seen_at__gt=now - RETIRED_AFTER).order_by()
    seen = dict(rows.values_list("role").annotate(last=Max("seen_at")))
    looked_at = (*ROLES, *(role for role in OPTIONAL_ROLES if role in seen))
    return {role: _silent(seen.get(role), began, now) for role in looked_at}


def _silent(seen_at: datetime | None, began: datetime, now: datetime) -> Reading | None:
    """Pure. One that was never seen is silent since `began`."""
    if now - began < START_GRACE and (seen_at is None or seen_at < began):
        return None
    return Reading(max(0.0, (now - (seen_at or began)).total_seconds()))
