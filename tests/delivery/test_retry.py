from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from delivery.retry import (
    DEFAULT_POLICY,
    Dead,
    DeadReason,
    NextTry,
    PolicyError,
    RetryPolicy,
    hold_until,
    next_attempt,
    parse_policy,
    policy_as_data,
)

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


def test_the_whole_default_schedule_fits_its_maximum_age_at_full_jitter() -> None:
    at = NOW
    for attempts_made in range(1, len(DEFAULT_POLICY.schedule_s)):
        planned = next_attempt(DEFAULT_POLICY, attempts_made, NOW, at, None, 0.999)
        assert isinstance(planned, NextTry)
        at = planned.at


def test_holds_end_with_the_maximum_age() -> None:
    policy = RetryPolicy(max_age_s=100.0)
    assert hold_until(policy, NOW, NOW, 100.0) == in_s(100)
    assert hold_until(policy, NOW, NOW, 101.0) == Dead(DeadReason.TOO_OLD)


def test_permanent_statuses() -> None:
    policy = RetryPolicy(permanent_statuses=frozenset({400, 422}))
    assert policy.is_permanent(422)
    assert not policy.is_permanent(500)
    assert not policy.is_permanent(None)


def test_policy_survives_the_way_through_plain_data() -> None:
    policy = RetryPolicy((0.0, 1.5), 0.5, 3600.0, frozenset({404, 400}))
    assert parse_policy(policy_as_data(policy)) == policy
    assert parse_policy({}) == DEFAULT_POLICY
    assert parse_policy({"schedule_s": [0, 10]}) == RetryPolicy(schedule_s=(0.0, 10.0))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schedule_s", []),
        ("schedule_s", 5),
        ("schedule_s", "55"),
        ("schedule_s", [1, -1]),
        ("schedule_s", [True]),
        ("schedule_s", ["5"]),
        ("schedule_s", [float("nan")]),
        ("schedule_s", [float("inf")]),
        ("schedule_s", [1] * 51),
        ("schedule_s", [8 * 86_400]),
        ("jitter_share", -0.1),
        ("jitter_share", 1.1),
        ("jitter_share", None),
        ("max_age_s", 59),
        ("max_age_s", 31 * 86_400),
        ("max_age_s", "1h"),
        ("permanent_statuses", 404),
        ("permanent_statuses", [399]),
        ("permanent_statuses", [600]),
        ("permanent_statuses", [404.0]),
        ("permanent_statuses", [410]),
        ("permanent_statuses", [404, 503]),
        ("retries", 3),
    ],
)
def test_bad_policy_names_the_field(field: str, value: object) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy({field: value})
    assert list(caught.value.errors) == [field]


def test_bad_policy_names_every_bad_field() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy({"jitter_share": 2, "max_age_s": 0, "schedule_s": [0], "colour": "red"})
    assert set(caught.value.errors) == {"jitter_share", "max_age_s", "colour"}
