"""Sums step by step, compared with a recount by hand."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from delivery.models import DeliveryCounter
from delivery.telemetry.hours import forget_minutes, roll_up
from delivery.telemetry.steps import MINUTE, by_step
from delivery.telemetry.sums import HOUR, Sums
from eventcenter.row_security import scoped
from tests.delivery.telemetry.counted import minute

pytestmark = pytest.mark.django_db

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def at(minutes: int) -> datetime:
    return NINE + timedelta(minutes=minutes)


def test_every_step_is_there_when_some_have_no_counts() -> None:
    minute(at(1), attempts=1, delivered=1)
    minute(at(14), shard=1, attempts=2)
    minute(at(45), endpoint_id=2, tenant_id=7, attempts=4)
    minute(at(51), attempts=8)  # the span ends before it
    found = by_step(NINE, at(50), QUARTER)
    assert list(found) == [at(0), at(15), at(30), at(45)]
    assert [sums.attempts for sums in found.values()] == [3, 0, 0, 4]
    assert found[at(0)].latency_buckets[3] == 1


def test_nothing_is_told_when_the_span_is_empty() -> None:
    assert by_step(NINE, NINE, MINUTE) == {}


def test_one_endpoint_or_some_tenants_are_told_when_asked_for() -> None:
    for endpoint_id, tenant_id in ((1, 1), (2, 7), (3, 7), (4, 9)):
        minute(at(0), endpoint_id=endpoint_id, tenant_id=tenant_id, attempts=1 << endpoint_id)

    def attempts(**asked: Any) -> int:
        return by_step(NINE, at(1), MINUTE, **asked)[NINE].attempts

    assert attempts(tenants={7}) == 0b1100
    assert attempts(tenants={1, 9}) == 0b10010
    assert attempts(tenants=()) == 0
    assert attempts(endpoint_id=2) == 0b100
    assert attempts(tenants={1}, endpoint_id=2) == 0
    with scoped({7}):
        assert attempts() == 0b1100


@pytest.mark.parametrize("seed", range(4))
def test_steps_equal_a_recount_by_hand_in_random_windows(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(60):
        minute(
            at(dice.randrange(-60, 60 * 12)),
            dice.randrange(1, 4),
            7,
            dice.randrange(10_000),
            attempts=dice.randrange(9),
        )
    counters = list(DeliveryCounter.objects.values_list("minute", "endpoint_id", "attempts"))
    for now in (None, at(60 * 5), at(60 * 9)):  # nothing is kept, then more and more
        while now and roll_up(now):
            pass
        for _ in range(8):
            whole = dice.random() < 0.5
            since = at(60 * dice.randrange(12) if whole else dice.randrange(60 * 12))
            until = at(dice.randrange(60 * 13))
            step = dice.choice((MINUTE, QUARTER, HOUR, 2 * HOUR, timedelta(hours=5)))
            endpoint_id = dice.choice((None, 1, 2))
            found = by_step(since, until, step, endpoint_id=endpoint_id)
            expected = {start: 0 for start in found}
            for when, endpoint, attempts in counters:
                if since <= when < until and endpoint_id in (None, endpoint):
                    expected[since + (when - since) // step * step] += attempts
            assert {start: sums.attempts for start, sums in found.items()} == expected
            assert sorted(found) == list(found)


def test_whole_hours_are_still_told_when_their_minutes_are_forgotten() -> None:
    minute(at(5), attempts=3)
    minute(at(65), attempts=4)
    now = NINE + timedelta(days=400)
    while roll_up(now):
        pass
    assert forget_minutes(now) == 2
    assert list(by_step(NINE, at(180), 2 * HOUR).values()) == [Sums(attempts=7), Sums()]
    assert [sums.attempts for sums in by_step(NINE, at(180), HOUR).values()] == [3, 4, 0]
