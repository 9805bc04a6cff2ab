"""The objectives: how the last days stand to what was promised, in all and by tenant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from delivery.console.access import ConsoleView
from delivery.objectives.reading import Span, last_days, read
from delivery.objectives.report import Goal, Objective, Standing, total
from delivery.telemetry import sums
from delivery.telemetry.sums import HOUR, Sums
from eventcenter.access.roles import Permission

PERIODS = {"1": "1 day", "7": "7 days", "30": "30 days"}
DEFAULT_PERIOD = "7"
SHOWN_MOST = 200  # tenants; those who miss an objective come first
DAY = timedelta(days=1)

# The chart, in the units of its viewBox: bars of initial success, between FLOOR and 100 %.
CHART_WIDTH, CHART_HEIGHT = 720, 96
FLOOR = 0.90
LEAST_HEIGHT = 3.0  # what lies below the floor is still seen
TARGET_Y = CHART_HEIGHT * (1 - (0.97 - FLOOR) / (1 - FLOOR))


class Bar(NamedTuple):
    """One day, or hour, of the chart. `tone`: met, missed, or nothing counted."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    words: str


class ObjectivesPage(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        days = request.GET.get("days", DEFAULT_PERIOD)
        if days not in PERIODS:
            return redirect("objectives")
        span = last_days(int(days), timezone.now())
        tenants = self.principal.tenant_ids(Permission.VIEW)
        report = read(span, tenants)
        step = HOUR if days == "1" else DAY
        context = {
            "report": report,
            "standings": report.tenants[:SHOWN_MOST],
            "more": max(len(report.tenants) - SHOWN_MOST, 0),
            "missed": sum(each.is_missed for each in report.tenants),
            "span": span,
            "days": days,
            "periods": PERIODS.items(),
            "step": "hour" if step == HOUR else "day",
            "bars": bars(by_step(sums.by_hour(span.since, span.until, tenants), span, step), step),
            "chart": (CHART_WIDTH, CHART_HEIGHT, TARGET_Y),
        }
        return render(request, "console/objectives.html", context)


def by_step(hours: Mapping[datetime, Sums], span: Span, step: timedelta) -> dict[datetime, Sums]:
    """Every step of the span from its beginning on, the empty ones too."""
    found: dict[datetime, Sums] = {}
    start = span.since
    while start < span.until:
        found[start] = total(counted for hour, counted in hours.items() if start <= hour < start + step)
        start += step
    return found


def bars(steps: Mapping[datetime, Sums], step: timedelta) -> list[Bar]:
    width = CHART_WIDTH / max(len(steps), 1)
    return [_bar(place * width, width, start, counted, step) for place, (start, counted) in enumerate(steps.items())]


def _bar(x: float, width: float, start: datetime, counted: Sums, step: timedelta) -> Bar:
    objective = next(each for each in Standing("", counted).objectives if each.goal is Goal.INITIAL)
    share = objective.value if objective.value is not None else 0.0
    height = max((share - FLOOR) / (1 - FLOOR) * CHART_HEIGHT, LEAST_HEIGHT)
    gap = min(2.0, width / 4)
    at = f"{start:%Y-%m-%d %H:%M} UTC" + (f" to {start + step:%m-%d %H:%M}" if step > HOUR else "")
    left, top, breadth, tall = (round(value, 2) for value in (x + gap / 2, CHART_HEIGHT - height, width - gap, height))
    return Bar(left, top, breadth, tall, _tone(objective), f"{at}: {_words(objective)}")


def _tone(objective: Objective) -> str:
    return "none" if objective.met is None else objective.verdict


def _words(objective: Objective) -> str:
    if objective.met is None:
        return objective.verdict
    return f"{objective.shown}, {objective.count} of {objective.of}, {objective.verdict}"
