"""One value of one metric, as every way out takes it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from delivery.telemetry.catalog import BY_NAME, COUNTED, Metric
from delivery.telemetry.sums import Sums


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in buckets that do not overlap (delivery.counters bounds them), and the sum of what was counted, in seconds."""

    buckets: Sequence[int]
    sum_s: float


@dataclass(frozen=True, slots=True)
class Reading:
    """`labels` are values, in the order of the metric's names."""

    metric: Metric
    value: float | Histogram
    labels: tuple[str, ...] = ()


def reading(name: str, value: float | Histogram, *labels: str) -> Reading:
    """Raises KeyError for a name that the catalog does not have."""
    return Reading(BY_NAME[name], value, labels)


def counted(prefix: str, sums: Sums, *labels: str) -> Iterator[Reading]:
    """What is counted by endpoint, of whatever `sums` is the sum of."""
    for column, name, *_ in COUNTED:
        yield reading(f"event_{prefix}_{name}_total", getattr(sums, column), *labels)


def latency(prefix: str, sums: Sums, *labels: str) -> Reading:
    histogram = Histogram(sums.latency_buckets, sums.latency_ms_sum / 1000)
    return reading(f"event_{prefix}_latency_seconds", histogram, *labels)
