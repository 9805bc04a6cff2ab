"""Sums step by step → the page's four charts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from delivery.console.charts import Chart, Plot, Series, Shape, Target, chart
from delivery.console.scales import Unit
from delivery.counters import percentile_ms
from delivery.objectives.report import (
    INITIAL_LEAST_PERMILLE,
    LATENCY_P95_MOST_MS,
    TARGETS,
    Goal,
)
from delivery.telemetry.sums import Sums

MINUTE = timedelta(minutes=1)
INITIAL_TARGET = Target(INITIAL_LEAST_PERMILLE / 1_000, f"{TARGETS[Goal.INITIAL]} at once")
LATENCY_TARGET = Target(float(LATENCY_P95_MOST_MS), f"p95 {TARGETS[Goal.LATENCY]}")


def charts(steps: Mapping[datetime, Sums], step: timedelta, until: datetime) -> list[Chart]:
    """`until`: where the last step was cut short."""
    return [
        chart(plot)
        for plot in (throughput(steps, step, until), success(steps, step), latency(steps, step), trouble(steps, step))
    ]


def throughput(steps: Mapping[datetime, Sums], step: timedelta, until: datetime) -> Plot:
    minutes = [min(step, until - start) / MINUTE for start in steps]
    per_minute = list(zip(steps.values(), minutes, strict=True))
    series = (
        Series("delivered", [sums.delivered / each for sums, each in per_minute]),
        Series("first tries", [sums.first_attempts / each for sums, each in per_minute]),
    )
    return Plot("throughput", "Throughput, a minute", list(steps), step, series, Unit.RATE, Shape.AREA)


def success(steps: Mapping[datetime, Sums], step: timedelta) -> Plot:
    series = (
        Series("at once", [share(sums.first_delivered, sums.first_attempts) for sums in steps.values()]),
        Series("in the end", [share(sums.delivered, sums.delivered + sums.dead) for sums in steps.values()]),
    )
    return Plot("success", "Success", list(steps), step, series, Unit.SHARE, target=INITIAL_TARGET, low=None)


def latency(steps: Mapping[datetime, Sums], step: timedelta) -> Plot:
    series = [Series(f"p{round(each * 100)}", _percentiles(steps.values(), each)) for each in (0.5, 0.95, 0.99)]
    return Plot("latency", "Latency, accepted to answered", list(steps), step, series, Unit.MS, target=LATENCY_TARGET)


def trouble(steps: Mapping[datetime, Sums], step: timedelta) -> Plot:
    series = (
        Series("retries", [sums.retried for sums in steps.values()]),
        Series("dead", [sums.dead for sums in steps.values()]),
        Series("duplicates", [sums.duplicates for sums in steps.values()]),
    )
    return Plot("trouble", "Retries, dead, duplicates", list(steps), step, series, Unit.COUNT, Shape.BAR)


def share(count: int, of: int) -> float | None:
    return count / of if of else None


def _percentiles(found: Iterable[Sums], which: float) -> list[float | None]:
    return [percentile_ms(sums.latency_buckets, which) for sums in found]
