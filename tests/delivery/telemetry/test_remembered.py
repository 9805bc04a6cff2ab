"""What pages remember is never told to somebody else, and never differs from what is read anew."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from delivery.telemetry import remembered
from delivery.telemetry.remembered import Remembered, StepMemory
from delivery.telemetry.settled import SETTLED_AFTER
from delivery.telemetry.steps import MINUTE, by_step
from delivery.telemetry.sums import HOUR
from eventcenter.row_security import ALL, scoped
from tests.delivery.telemetry.counted import minute

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return NINE + timedelta(minutes=minutes)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_answer_is_read_again_when_it_is_too_old() -> None:
    clock, asked = Clock(), iter(range(9))
    memory: Remembered[int] = Remembered(clock)

    def read(key: str) -> int:
        return memory.read(key, lambda: next(asked), lambda value: 10 + value)

    assert [read("a"), read("a"), read("b")] == [0, 0, 1]
    clock.now = 10
    assert [read("a"), read("b")] == [2, 1]
    memory.forget()
    assert read("a") == 3


def test_nothing_is_remembered_when_reading_fails() -> None:
    memory: Remembered[int] = Remembered()
    with pytest.raises(ZeroDivisionError):
        memory.read("a", lambda: 1 // 0, lambda _: 10)
    assert memory.read("a", lambda: 1, lambda _: 10) == 1


@pytest.mark.django_db
def test_each_scope_has_its_own_answer() -> None:
    memory: Remembered[str] = Remembered()
    for scope, answer in ((ALL, "all"), ({1}, "one"), ({1, 2}, "two")):
        with scoped(scope):
            assert memory.read("a", lambda answer=answer: answer, lambda _: 10) == answer  # type: ignore[misc]
    with scoped({2, 1}):
        assert memory.read("a", lambda: "other", lambda _: 10) == "two"


@pytest.mark.django_db
def test_steps_are_ones_own_when_another_has_read_them() -> None:
    memory, now = StepMemory(), at(120)
    minute(at(0), tenant_id=1, attempts=1)
    minute(at(0), endpoint_id=2, tenant_id=7, attempts=2)

    def attempts(scope: Any, tenants: frozenset[int] | None = None) -> int:
        with scoped(scope):
            return memory.read(NINE, at(60), HOUR, tenants, now)[NINE].attempts

    assert [attempts(ALL), attempts({7}), attempts({1}), attempts(ALL, frozenset({7}))] == [3, 2, 1, 2]


def test_least_recently_asked_is_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "KEYS_MOST", 2)
    memory: Remembered[int] = Remembered()
    for key in range(3):
        memory.read(key, lambda key=key: key, lambda _: 10)  # type: ignore[misc]
    assert [memory.read(key, lambda: -1, lambda _: 10) for key in (2, 1, 0)] == [2, 1, -1]


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(3))
def test_remembered_steps_equal_what_is_read_anew_while_time_goes_on(seed: int) -> None:
    """Counts come to minutes that are not settled, as workers' do."""
    dice, memory, now = random.Random(seed), StepMemory(), NINE
    for shard in range(40):
        now += timedelta(minutes=dice.choice((0, 1, 3, 20)))
        minute(now - dice.randrange(5) * MINUTE, shard=shard, attempts=dice.randrange(1, 9))
        step = dice.choice((MINUTE, 15 * MINUTE, 2 * HOUR))
        since = (now - 5 * HOUR).replace(minute=0)
        assert memory.read(since, now, step, None, now) == by_step(since, now, step)


@pytest.mark.django_db
def test_settled_steps_are_not_read_again() -> None:
    memory, now = StepMemory(), at(60)
    minute(at(0), attempts=1)
    assert memory.read(NINE, now, MINUTE, None, now)[NINE].attempts == 1
    minute(at(0), shard=1, attempts=1)
    minute(now - SETTLED_AFTER, attempts=4)
    found = memory.read(NINE, now, MINUTE, None, now)
    assert (found[NINE].attempts, found[now - SETTLED_AFTER].attempts) == (1, 4)
