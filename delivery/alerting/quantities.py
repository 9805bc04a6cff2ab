"""Values in the units of the kinds, as people write and read them. Pure."""

from __future__ import annotations

import math
import re

from subscriptions.durations import DurationError, duration_text, parse_duration

SHARE, COUNT, SECONDS, STATE = "share", "count", "seconds", "state"
TAKES = {
    SHARE: "takes a percentage such as 5 %, or a share from 0 to 1",
    COUNT: "takes a whole number from 0 to 1,000,000,000",
    SECONDS: "takes seconds, or a number with s, m, h or d, such as 30s, 5m or 2h, up to 7d",
    STATE: "takes nothing",
}
COUNT_MOST, SECONDS_MOST = 1_000_000_000, 7 * 86_400


class QuantityError(ValueError):
    """Says what is taken."""


def parse(unit: str, value: object) -> float:
    """Raises QuantityError."""
    found = {SHARE: _share, COUNT: _count, SECONDS: _seconds}[unit](value)
    if found is None:
        raise QuantityError(TAKES[unit])
    return found


def text(unit: str, value: float) -> str:
    """What `parse` reads back, rounded to what a person wants to know."""
    if unit == SHARE:
        return f"{float(f'{value * 100:.3g}'):g} %"
    if unit == SECONDS:
        return duration_text(round(value, 1) if value < 60 else round(value))
    return f"{value:,.0f}" if value >= 10_000 else f"{value:g}"


def written(unit: str, value: float) -> str | int:
    """As a file has it, exactly: a number where it is one."""
    if unit == COUNT:
        return int(value)
    return f"{value * 100:.12g} %" if unit == SHARE else short(value)


def short(seconds: float) -> str:
    """A length of time as files write it: 5m, 1h 30m."""
    return re.sub(r"(\d) (d|h|m|s)(?:in)?", r"\1\2", duration_text(seconds))


def _share(value: object) -> float | None:
    if isinstance(value, str) and value.strip().endswith("%"):
        number = _number(value.strip()[:-1])
        return number / 100 if number is not None and number <= 100 else None
    number = _number(value)
    return number if number is not None and number <= 1 else None


def _count(value: object) -> float | None:
    number = _number(value.replace(",", "") if isinstance(value, str) else value)
    return number if number is not None and number.is_integer() and number <= COUNT_MOST else None


def _seconds(value: object) -> float | None:
    try:
        seconds = parse_duration(value)
    except DurationError:
        return None
    return seconds if 0 <= seconds <= SECONDS_MOST else None


def _number(value: object) -> float | None:
    """None for what is no number that counts from 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
