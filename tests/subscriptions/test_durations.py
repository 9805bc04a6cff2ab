from __future__ import annotations

import pytest

from subscriptions.durations import DurationError, duration_text, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0.0),
        (1.5, 1.5),
        ("90", 90.0),
        ("5s", 5.0),
        (" 5 M ", 300.0),
        ("10min", 600.0),
        ("1.5h", 5400.0),
        ("2h 30m", 9000.0),
        ("1d2h", 93_600.0),
    ],
)
def test_seconds_are_read_when_written_by_people(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "s", "5x", "-5s", "1h,2h", "5 5", "1e3", "inf", True, None, [5], float("nan"), float("inf")]
)
def test_error_says_what_is_taken_when_it_is_no_duration(written: object) -> None:
    with pytest.raises(DurationError, match="such as 30s, 5m or 2h"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "0.25 s"),
        (5, "5 s"),
        (300, "5 min"),
        (5400, "1 h 30 min"),
        (86_400, "1 d"),
        (90_061, "1 d 1 h 1 min 1 s"),
    ],
)
def test_text_can_be_read_back(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
    assert parse_duration(text) == seconds
