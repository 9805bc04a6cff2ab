"""What stands beside a chart: round ticks of values and of times, and values in words. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from delivery.objectives.report import duration_words

TICKS_MOST = 4  # steps of a scale; one more when the foot is not round
TIMES_MOST = 6  # words of some five letters fit so often, 360 pixels wide
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)
_EPSILON = 1e-9
_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1_440, 2_880, 10_080)
_DAY = timedelta(days=1)
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)  # so that weeks begin with it
_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"))


class Unit(Enum):
    COUNT = "count"  # whole things
    RATE = "a minute"
    SHARE = "share"  # 0 to 1, shown as per cent
    MS = "ms"


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` to `high`, which is above it; both are ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]


def scale_of(values: Sequence[float], unit: Unit, low: float | None = 0.0) -> Scale:
    """Round ticks around all values; `low` None: from about the least of them. A share ends with 100 %."""
    foot = min(values, default=0.0) if low is None else low
    top = max((*values, foot))
    if top - foot < _EPSILON * max(abs(top), 1.0):
        foot, top = _widened(foot, top, unit, low)
    ticks = ticks_of(foot, top, whole=unit is Unit.COUNT)
    return Scale(ticks[0], ticks[-1], ticks)


def _widened(foot: float, top: float, unit: Unit, low: float | None) -> tuple[float, float]:
    """Around one value alone, or nothing but the foot."""
    if unit is Unit.SHARE:
        return (foot, min(top + 0.01, 1.0)) if top < 1.0 else (foot - 0.01, 1.0)
    return foot, top + (1.0 if low is not None or not top else abs(top))


def ticks_of(low: float, high: float, whole: bool = False) -> tuple[float, ...]:
    """The fewest round numbers, evenly apart, that hold both; some four steps. `high` is above `low`."""
    wanted = (high - low) / TICKS_MOST
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(each * power for each in _ROUND if each * power >= wanted * (1 - _EPSILON))
    if whole:
        step = max(float(math.ceil(step)), 1.0)
    first, last = math.floor(low / step + _EPSILON), math.ceil(high / step - _EPSILON)
    return tuple(_clean(place * step) for place in range(first, last + 1))


def _clean(value: float) -> float:
    """Without what floating point adds behind it."""
    return float(f"{value:.12g}")


def hour_ticks(since: datetime, until: datetime) -> Iterator[tuple[datetime, str]]:
    """Round times within [since, until), UTC, the fewest minutes apart that are few enough; by the day as month-day."""
    minutes = (until - since) / timedelta(minutes=1)
    step = timedelta(minutes=next((each for each in _MINUTES if minutes / each <= TIMES_MOST), _MINUTES[-1]))
    at = _MONDAY + -((_MONDAY - since) // step) * step
    at = at if at >= since else at + step
    while at < until:
        shown = at.astimezone(UTC)
        yield shown, f"{shown:%m-%d}" if step >= _DAY else f"{shown:%H:%M}"
        at += step


def words_of(value: float, unit: Unit) -> str:
    """As people read it; a share is cut and not rounded, so that it never shows a target that it misses."""
    match unit:
        case Unit.SHARE:
            return f"{math.floor(value * 10_000 + _EPSILON) / 100:.2f} %"
        case Unit.MS:
            return duration_words(value)
        case Unit.RATE:
            return f"{value:,.1f}" if value < 100 and value % 1 else f"{value:,.0f}"
        case _:
            return f"{value:,.0f}"


def tick_words(value: float, unit: Unit) -> str:
    """Shorter: without digits that say nothing."""
    match unit:
        case Unit.SHARE:
            return f"{value * 100:.6g} %"
        case Unit.MS:
            return f"{value:.6g} ms" if value < 1_000 else f"{value / 1_000:.6g} s"
        case _:
            return _short(value)


def _short(value: float) -> str:
    for size, letter in _LARGE:
        if value >= size:
            return f"{value / (1e3 if letter == 'k' else size):.6g} {letter}"
    return f"{value:,.10g}"
