"""The one table of metrics is the catalog's, row by row."""

from __future__ import annotations

import re
from pathlib import Path

from delivery.telemetry.catalog import METRICS, Metric, Place

PAGE = (Path(__file__).parents[2] / "docs" / "operations" / "metrics.md").read_text()
ROW = re.compile(r"^\| `event_.*$", re.MULTILINE)


def row(metric: Metric) -> str:
    """As the page shows it."""
    cells = (
        f"`{metric.name}`",
        f"`{metric.dotted}`" if metric.dotted else "",
        metric.type.value,
        metric.unit,
        ", ".join(f"`{name}`" for name in metric.labels),
        metric.place.value,
        metric.meaning,
        ", ".join(f"`{kind.value}`" for kind in metric.alerts),
    )
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def test_table_is_the_catalog() -> None:
    assert ROW.findall(PAGE) == [row(metric) for metric in METRICS]


def test_every_place_is_explained() -> None:
    for place in Place:
        assert f"| {place.value} |" in PAGE


def test_the_scenarios_names_are_there() -> None:
    dotted = {metric.dotted for metric in METRICS}
    assert dotted >= {
        "event.delivery.success_total",
        "event.delivery.retry_total",
        "event.delivery.latency_p95",
        "event.delivery.duplicate_total",
    }
