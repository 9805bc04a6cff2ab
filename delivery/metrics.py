"""/metrics: this deployment's deliveries as Prometheus reads them, beside the process metrics of django-prometheus.

The counters come from the minute counters in PostgreSQL, so every web process answers the same, restarts lose nothing
and it does not matter which process a scrape meets. Sums over whole tables are right as long as no counter row is
deleted; who ages rows out must leave their sum behind in one row (of an earlier minute), or every counter would drop.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import prometheus_client
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from delivery.counters import LATENCY_BOUNDS_MS, percentile_ms
from eventcenter.row_security import unscoped

logger = logging.getLogger(__name__)

# A row of an older minute does not change any more: a writer adds to the minute in which its transaction began.
SETTLED_AFTER = timedelta(minutes=10)
LATENCY_WINDOW = timedelta(minutes=5)
DEPTH_MOST = 100_000  # counting on would cost more than knowing

COUNTERS = {
    "success": "Deliveries that the receiver answered with 2xx.",
    "retry": "Attempts after the first one of a delivery.",
    "failure": "Attempts that did not succeed.",
    "dead": "Deliveries that ended as dead letters.",
    "duplicate": "Repeated events that were recognised and not delivered again.",
}
# Index: primary keys, a range of minutes. Column order: COUNTERS', latency sum, then one a latency bucket.
DELIVERY_SUMS = """
SELECT coalesce(sum(delivered), 0), coalesce(sum(retried), 0), coalesce(sum(failed), 0), coalesce(sum(dead), 0),
    coalesce(sum(latency_ms_sum), 0), {buckets}
FROM delivery_deliverycounter WHERE minute >= %s AND minute < %s
""".format(buckets=", ".join(f"coalesce(sum(latency_buckets[{n + 1}]), 0)" for n in range(len(LATENCY_BOUNDS_MS) + 1)))
DUPLICATE_SUM = "SELECT coalesce(sum(duplicates), 0) FROM eventcenter_ingestcounter WHERE minute >= %s AND minute < %s"
# Index: delivery_delivery_due (partial), its first row in each partition; dispatches are few.
OLDEST_WAITING = """
SELECT greatest(0, extract(epoch FROM now() - least(
    (SELECT min(due_at) FROM delivery_delivery WHERE due_at IS NOT NULL),
    (SELECT min(coalesce(not_before, created_at)) FROM delivery_dispatch WHERE claimed_by = ''))))
"""
OUTBOX_DEPTH = "SELECT count(*) FROM (SELECT 1 FROM eventcenter_outboxmessage LIMIT %s) AS waiting"
OPEN_DISPATCHES = "SELECT count(*) FROM (SELECT 1 FROM delivery_dispatch LIMIT %s) AS waiting"
DEAD_SINCE = "SELECT coalesce(sum(dead), 0) FROM delivery_deliverycounter WHERE minute >= %s"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over a range of minutes, in the order of COUNTERS."""

    counts: tuple[int, ...] = (0,) * len(COUNTERS)
    latency_ms: float = 0.0
    buckets: tuple[int, ...] = (0,) * (len(LATENCY_BOUNDS_MS) + 1)

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            self.latency_ms + other.latency_ms,
            tuple(a + b for a, b in zip(self.buckets, other.buckets, strict=True)),
        )


@dataclass(slots=True)
class Totals:
    """Sums since ever. Settled minutes are added once and remembered, so that a scrape reads some minutes of rows."""

    _settled: Sums = field(default_factory=Sums)
    _until: datetime = EPOCH
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, now: datetime) -> Sums:
        edge = (now - SETTLED_AFTER).replace(second=0, microsecond=0)
        with self._lock:
            if edge > self._until:
                self._settled, self._until = self._settled + _sums(self._until, edge), edge
            settled, until = self._settled, self._until
        return settled + _sums(until, FOREVER)


def _sums(start: datetime, end: datetime) -> Sums:
    success, retry, failure, dead, latency_ms, *buckets = _row(DELIVERY_SUMS, start, end)
    (duplicates,) = _row(DUPLICATE_SUM, start, end)
    counts = (int(success), int(retry), int(failure), int(dead), int(duplicates))
    return Sums(counts, float(latency_ms), tuple(int(count) for count in buckets))


def _row(statement: str, *parameters: datetime | int) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row = cursor.fetchone()
    assert row is not None
    return tuple(row)


class DeliveryCollector(Collector):
    """Reads the tables at each scrape. Without the database it says so in event_delivery_up, and the rest is absent."""

    def __init__(self, totals: Totals | None = None) -> None:
        self._totals = totals or Totals()

    def collect(self) -> Iterator[Metric]:
        try:
            families = [*self._counters(timezone.now()), *_gauges(timezone.now())]
        except (OperationalError, InterfaceError):
            logger.warning("metrics.database_away", exc_info=True)
            connection.close()
            families = []
        yield GaugeMetricFamily("event_delivery_up", "1: the tables could be read.", value=float(bool(families)))
        yield from families

    def _counters(self, now: datetime) -> Iterator[Metric]:
        sums = self._totals.read(now)
        for (name, text), count in zip(COUNTERS.items(), sums.counts, strict=True):
            yield CounterMetricFamily(f"event_delivery_{name}", text, value=count)
        yield _histogram(sums)


def _histogram(sums: Sums) -> Metric:
    """Prometheus' buckets overlap: each counts all that are not slower than its bound."""
    bounds = [*(str(bound / 1000) for bound in LATENCY_BOUNDS_MS), "+Inf"]
    running, buckets = 0, []
    for bound, count in zip(bounds, sums.buckets, strict=True):
        running += count
        buckets.append((bound, float(running)))
    text = "From an event's acceptance to the 2xx answer, first rounds only."
    return HistogramMetricFamily(
        "event_delivery_latency_seconds", text, buckets=buckets, sum_value=sums.latency_ms / 1000
    )


def _gauges(now: datetime) -> Iterator[Metric]:
    oldest = _row(OLDEST_WAITING)[0]
    recent = percentile_ms(_sums(now - LATENCY_WINDOW, FOREVER).buckets, 0.95)
    for name, text, value in (
        ("oldest_due_seconds", "How long the delivery that waits longest could have gone out.", float(oldest or 0)),
        ("outbox_depth", "Accepted events that Kafka has not acknowledged.", _row(OUTBOX_DEPTH, DEPTH_MOST)[0]),
        ("open_dispatches", "Batches of deliveries on their way.", _row(OPEN_DISPATCHES, DEPTH_MOST)[0]),
        ("dead_24h", "Deliveries that died in the last 24 hours.", _row(DEAD_SINCE, now - timedelta(hours=24))[0]),
        ("latency_p95_seconds", "95th percentile of the last five minutes' latency.", (recent or 0.0) / 1000),
    ):
        yield GaugeMetricFamily(f"event_delivery_{name}", text, value=float(value))


collector = DeliveryCollector()


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format. With PROMETHEUS_MULTIPROC_DIR the process metrics are summed over all web processes."""
    deliveries = CollectorRegistry()
    deliveries.register(collector)
    with unscoped():  # sums over all tenants, with no tenant's name
        text = prometheus_client.generate_latest(_processes()) + prometheus_client.generate_latest(deliveries)
    return HttpResponse(text, content_type=prometheus_client.CONTENT_TYPE_LATEST)


def _processes() -> CollectorRegistry:
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return prometheus_client.REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
