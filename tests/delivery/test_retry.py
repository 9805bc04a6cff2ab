from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from delivery.retry import Dead, DeadReason, NextTry, hold_until, next_attempt
from subscriptions.retry_policy import NAMED_POLICIES, RetryPolicy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAIN = RetryPolicy(jitter_share=0.0)


def in_s(seconds: float) -> NextTry:
    return NextTry(NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("attempts_made", "wait_s"),
    [(0, 0), (1, 5), (2, 300), (3, 1800), (4, 7200), (5, 18000), (6, 36000), (7, 50400), (8, 72000), (9, 86400)],
)
def test_default_schedule_is_the_standards(attempts_made: int, wait_s: float) -> None:
    assert next_attempt(PLAIN, attempts_made, NOW, NOW, None, 0.5) == in_s(wait_s)


@pytest.mark.parametrize("attempts_made", [10, 11, 99])
def test_dead_when_the_schedule_is_spent(attempts_made: int) -> None:
    assert next_attempt(PLAIN, attempts_made, NOW, NOW, None, 0.5) == Dead(DeadReason.SPENT)


@pytest.mark.parametrize(("rand", "wait_s"), [(0.0, 300), (0.5, 330), (0.999999, 360)])
def test_jitter_is_only_added(rand: float, wait_s: float) -> None:
    planned = next_attempt(RetryPolicy(jitter_share=0.2), 2, NOW, NOW, None, rand)
    assert isinstance(planned, NextTry)
    assert (planned.at - NOW).total_seconds() == pytest.approx(wait_s, abs=0.01)


@pytest.mark.parametrize(
    ("retry_after_s", "wait_s"),
    [(0.0, 300), (60.0, 300), (301.0, 301), (36_000.0, 36_000), (1e9, 36_000)],
)
def test_retry_after_only_lengthens_and_is_capped(retry_after_s: float, wait_s: float) -> None:
    assert next_attempt(PLAIN, 2, NOW, NOW, retry_after_s, 0.0) == in_s(wait_s)


@pytest.mark.parametrize(("age_s", "expected"), [(699, in_s(300)), (700, in_s(300)), (701, Dead(DeadReason.TOO_OLD))])
def test_dead_when_the_next_try_would_be_past_the_maximum_age(age_s: int, expected: NextTry | Dead) -> None:
    policy = RetryPolicy(jitter_share=0.0, max_age_s=1000.0)
    assert next_attempt(policy, 2, NOW - timedelta(seconds=age_s), NOW, None, 0.0) == expected


@pytest.mark.parametrize("name", NAMED_POLICIES)
def test_the_whole_schedule_fits_its_maximum_age_when_jitter_is_full(name: str) -> None:
    policy, at = NAMED_POLICIES[name].policy, NOW
    for attempts_made in range(1, len(policy.schedule_s)):
        planned = next_attempt(policy, attempts_made, NOW, at, None, 0.999)
        assert isinstance(planned, NextTry)
        at = planned.at


@pytest.mark.parametrize(
    ("age_s", "hold_s", "expected"),
    [
        (0, 100.0, in_s(100)),
        (0, 5000.0, in_s(1000)),
        (999, 5000.0, in_s(1)),
        (1000, 5.0, Dead(DeadReason.TOO_OLD)),
        (1001, 0.0, Dead(DeadReason.TOO_OLD)),
    ],
)
def test_held_delivery_lives_until_its_maximum_age_is_over(age_s: int, hold_s: float, expected: NextTry | Dead) -> None:
    policy = RetryPolicy(max_age_s=1000.0)
    assert hold_until(policy, NOW - timedelta(seconds=age_s), NOW, hold_s) == expected
