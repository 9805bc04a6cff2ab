"""What is said of the whole deployment, with no tenant's name: counters since ever, and how things stand now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import LiteralString, NamedTuple

from django.db.models import Count, Max, Q, Sum

from delivery.counters import percentile_ms
from delivery.models import Alert, AlertSeverity, AlertState, Incident
from delivery.telemetry import gauges, sums
from delivery.telemetry.reading import Reading, counted, latency, reading
from delivery.telemetry.settled import Settled
from delivery.telemetry.sums import FOREVER
from eventcenter.health import ROLES, SILENT_AFTER
from eventcenter.models import AdapterCount, Heartbeat
from eventcenter.store import rows

LATENCY_WINDOW = timedelta(minutes=5)
DAY = timedelta(hours=24)
# What every deployment has: 0 of one of these is worth an alert, even if there never was one. Readiness asks for fewer: a
# web process goes on without those that only replay, judge or call.
EXPECTED = (*ROLES, "replays", "telemetry", "pager")

# Index: primary key, a range of minutes.
INGESTED: LiteralString = """
SELECT coalesce(sum(ingested), 0)::bigint, coalesce(sum(planned), 0)::bigint, coalesce(sum(duplicates), 0)::bigint,
    coalesce(sum(rejected), 0)::bigint
FROM eventcenter_ingestcounter WHERE minute >= %s AND minute < %s
"""


class IngestSums(NamedTuple):
    """Sums of eventcenter.models.IngestCounter."""

    ingested: int = 0
    planned: int = 0
    deduplicated: int = 0
    rejected: int = 0


def ingested(since: datetime, until: datetime) -> IngestSums:
    return IngestSums(*rows(INGESTED, [since, until])[0])


def add_ingested(one: IngestSums, other: IngestSums) -> IngestSums:
    return IngestSums(*(a + b for a, b in zip(one, other, strict=True)))


def refused(since: datetime, until: datetime) -> Counter[tuple[int, str]]:
    """(tenant, reason) → publishes that were refused because of their proof. Tenant 0: the key is not known."""
    found = sums.publish_refusals(since, until)
    return Counter({(tenant, why): count for tenant, by_reason in found.items() for why, count in by_reason.items()})


class Deployment:
    """Remembers settled sums: one for the life of a process."""

    def __init__(self) -> None:
        self._sums = Settled(sums.total, lambda one, other: one + other)
        self._ingested = Settled(ingested, add_ingested)
        self._refused = Settled(refused, lambda one, other: one + other)

    def read(self, now: datetime) -> Iterator[Reading]:
        """Every family of the catalog's place "deployment", but event_delivery_up. Raises what the database raises."""
        total = self._sums.read(now)
        yield from counted("delivery", total)
        yield latency("delivery", total)
        for name, count in self._ingested.read(now)._asdict().items():
            yield reading(f"event_delivery_{name}_total", count)
        yield from total_refusals(self._refused.read(now))
        yield from recent(now)
        yield from standing(gauges.read(now))
        yield from alerts()
        yield from processes(now)


def total_refusals(counts: Mapping[tuple[int, str], int]) -> Iterator[Reading]:
    by_reason: Counter[str] = Counter()
    for (_, reason), count in counts.items():
        by_reason[reason] += count
    for reason, count in by_reason.items():
        yield reading("event_publish_signature_errors_total", count, reason)


def recent(now: datetime) -> Iterator[Reading]:
    window = sums.total(now - LATENCY_WINDOW, FOREVER)
    yield reading("event_delivery_latency_p95_seconds", (percentile_ms(window.latency_buckets, 0.95) or 0.0) / 1000)
    yield reading("event_delivery_dead_24h", sums.total(now - DAY, FOREVER).dead)
    # Index: adapter_count_once_a_minute, a range in each adapter's; adapters are few.
    came = AdapterCount.objects.filter(minute__gte=now - DAY).values_list("adapter__kind", "outcome")
    for kind, outcome, count in came.annotate(sum=Sum("count")):
        yield reading("event_adapter_messages_24h", count, kind, outcome)


def standing(found: gauges.Gauges) -> Iterator[Reading]:
    """The gauges; what is not known now is left out."""
    yield reading("event_delivery_oldest_due_seconds", found.oldest_due_s)
    yield reading("event_delivery_outbox_depth", found.outbox_depth)
    yield reading("event_delivery_outbox_age_seconds", found.outbox_age_s)
    if found.consumer_lag is not None:
        yield reading("event_delivery_consumer_lag", found.consumer_lag)
    for lane, hints in (found.queue_depth or {}).items():
        yield reading("event_delivery_queue_depth", hints, lane)
    yield reading("event_delivery_open_dispatches", found.open_dispatches)
    yield reading("event_delivery_in_flight", found.in_flight)
    for reason, count in found.held.items():
        yield reading("event_delivery_held", count, reason)
    for state, count in found.breakers.items():
        yield reading("event_delivery_breakers", count, state)


def alerts() -> Iterator[Reading]:
    # Indexes: alert_open_once_a_key and incident_open_once_a_cause (both partial): the open ones.
    firing = Alert.objects.filter(resolved_at=None, state=AlertState.FIRING).values_list("severity")
    by_severity = dict.fromkeys(AlertSeverity.values, 0) | dict(firing.annotate(count=Count("id")))
    for severity, count in by_severity.items():
        yield reading("event_delivery_alerts", count, severity)
    yield reading("event_delivery_incidents", Incident.objects.filter(resolved_at=None).count())


def processes(now: datetime) -> Iterator[Reading]:
    """A role that every deployment has is there even where no process of it ever was."""
    alive = Count("id", filter=Q(seen_at__gte=now - SILENT_AFTER))
    seen = {role: (count, at) for role, count, at in
            Heartbeat.objects.values_list("role").annotate(alive=alive, last=Max("seen_at"))}  # fmt: skip
    for role in sorted({*EXPECTED, *seen}):
        count, at = seen.get(role, (0, None))
        yield reading("event_delivery_processes", count, role)
        if at is not None:
            yield reading("event_delivery_heartbeat_age_seconds", max((now - at).total_seconds(), 0.0), role)
