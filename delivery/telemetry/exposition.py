"""Prometheus: readings as families, and /metrics of the web process.

All counters come from PostgreSQL, so every process answers the same, restarts lose nothing, and it does not matter which
process a scrape meets.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

import prometheus_client
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from delivery.counters import LATENCY_BOUNDS_MS
from delivery.telemetry import catalog
from delivery.telemetry.catalog import Place, Type
from delivery.telemetry.deployment import Deployment
from delivery.telemetry.reading import Histogram, Reading
from eventcenter.row_security import unscoped

logger = logging.getLogger(__name__)

UP = catalog.BY_NAME["event_delivery_up"]
# Scrapes that come closer to each other than this are given the same: /metrics asks for no proof, and reading costs.
FRESH_FOR_S = 1.0

Bucket = tuple[str, float]
Read = Callable[[datetime], Iterable[Reading]]


class StoreCollector(Collector):
    """The families of `places`, read at each scrape. Without the database they are absent, and `up` says so."""

    def __init__(self, places: Sequence[Place], read: Read) -> None:
        self._metrics = [metric for metric in catalog.at(*places) if metric is not UP]
        self._says_up = Place.DEPLOYMENT in places
        self._read = read
        self._lock = threading.Lock()
        self._kept: list[Family] = []
        self._read_at = float("-inf")

    def collect(self) -> Iterator[Family]:
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_FOR_S:
                self._kept = self._families()
                self._read_at = time.monotonic()
            kept = self._kept
        if self._says_up:
            yield GaugeMetricFamily(UP.family, UP.meaning, value=float(bool(kept)))
        yield from kept

    def _families(self) -> list[Family]:
        try:
            return families(self._metrics, self._read(timezone.now()))
        except (OperationalError, InterfaceError):
            logger.warning("metrics.database_away", exc_info=True)
            connection.close()
            return []


def families(metrics: Iterable[catalog.Metric], readings: Iterable[Reading]) -> list[Family]:
    """Each of the metrics as a family with its readings; one without any is there, and empty."""
    made = {metric.name: _family(metric) for metric in metrics}
    for each in readings:
        family = made[each.metric.name]
        if isinstance(family, HistogramMetricFamily):
            assert isinstance(each.value, Histogram)
            family.add_metric(each.labels, _overlapping(each.value.buckets), each.value.sum_s)
        else:
            assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
            assert not isinstance(each.value, Histogram)
            family.add_metric(each.labels, each.value)
    return list(made.values())


def _family(metric: catalog.Metric) -> Family:
    kinds = {Type.COUNTER: CounterMetricFamily, Type.GAUGE: GaugeMetricFamily, Type.HISTOGRAM: HistogramMetricFamily}
    made: Family = kinds[metric.type](metric.family, metric.meaning, labels=metric.labels)
    return made


def _overlapping(buckets: Sequence[int]) -> list[Bucket]:
    """Prometheus' buckets overlap: each counts all that are not slower than its bound."""
    bounds = [*(str(bound / 1000) for bound in LATENCY_BOUNDS_MS), "+Inf"]
    running, found = 0, []
    for bound, count in zip(bounds, buckets, strict=True):
        running += count
        found.append((bound, float(running)))
    return found


def deployment_collector() -> StoreCollector:
    return StoreCollector([Place.DEPLOYMENT], Deployment().read)


collector = deployment_collector()


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format. With PROMETHEUS_MULTIPROC_DIR the process metrics are summed over all web processes."""
    deployment = CollectorRegistry()
    deployment.register(collector)
    with unscoped():  # sums over all tenants, with no tenant's name
        text = prometheus_client.generate_latest(_processes()) + prometheus_client.generate_latest(deployment)
    return HttpResponse(text, content_type=prometheus_client.CONTENT_TYPE_LATEST)


def _processes() -> CollectorRegistry:
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return prometheus_client.REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
