from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eventcenter.key_age import OVERDUE, KeyAge

MADE = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lifetime", "age", "step"),
    [
        (365, 0, None),
        (365, 334.99, None),
        (365, 335, 30),
        (365, 357.99, 30),
        (365, 358, 7),
        (365, 364, 1),
        (365, 364.99, 1),
        (365, 365, OVERDUE),
        (365, 3000, OVERDUE),
        # As long as a whole life, a step is none.
        (30, 0, None),
        (30, 23, 7),
        (7, 0, None),
        (7, 6, 1),
        (1, 0.5, None),
        (1, 1, OVERDUE),
    ],
)
def test_reminder_is_the_nearest_step_that_is_reached(lifetime: int, age: float, step: int | None) -> None:
    assert KeyAge(MADE, lifetime).reminder(MADE + timedelta(days=age)) == step


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (0, "due in 365 days"),
        (363.5, "due in 1 day"),
        (364.5, "due in less than a day"),
        (365, "overdue by less than a day"),
        (366, "overdue by 1 day"),
        (400, "overdue by 35 days"),
    ],
)
def test_words_say_how_long_it_is(age: float, words: str) -> None:
    assert KeyAge(MADE, 365).words(MADE + timedelta(days=age)) == words
