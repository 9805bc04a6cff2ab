"""Lengths of time as people write them: "5s", "1.5h", "2h 30m", or a plain number of seconds. Pure."""

from __future__ import annotations

import math
import re

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86_400.0

UNITS_S = {"d": DAY_S, "h": HOUR_S, "m": MINUTE_S, "min": MINUTE_S, "s": 1.0}
SHOWN_UNITS = (("d", DAY_S), ("h", HOUR_S), ("min", MINUTE_S), ("s", 1.0))
EXPECTED = "takes seconds, or a number with s, m, h or d, such as 30s, 5m or 2h"

_PART = r"(\d+(?:\.\d+)?)\s*(d|h|min|m|s)"
_DURATION = re.compile(rf"{_PART}(?:\s*{_PART})*", re.IGNORECASE | re.ASCII)
_PARTS = re.compile(_PART, re.IGNORECASE | re.ASCII)
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


class DurationError(ValueError):
    """The text is no length of time; the message says what is taken."""


def parse_duration(value: object) -> float:
    """Seconds. Numbers are seconds already. Raises DurationError."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    text = value.strip() if isinstance(value, str) else ""
    if _SECONDS.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise DurationError(EXPECTED)
    return sum(float(number) * UNITS_S[unit.lower()] for number, unit in _PARTS.findall(text))


def duration_text(seconds: float) -> str:
    """The same length in the fewest whole units: 5400 is "1 h 30 min". What is below a second stays a fraction of it."""
    parts, rest = [], seconds
    for unit, size_s in SHOWN_UNITS[:-1]:
        count, rest = divmod(rest, size_s)
        if count:
            parts.append(f"{count:.0f} {unit}")
    if rest or not parts:
        parts.append(f"{round(rest, 3):g} s")
    return " ".join(parts)
