"""What is kept for some seconds: nobody waits for it but the first, and an absence is told at once."""

from __future__ import annotations

import threading
import time

import pytest
from redis import RedisError

from delivery.system import kept
from delivery.system.kept import Kept


def test_value_is_looked_up_once_while_it_is_fresh() -> None:
    seen: list[int] = []
    value: Kept[int] = Kept(fresh_s=60, old_s=60)
    looks = [value.get("key", lambda: seen.append(1) or len(seen)) for _ in range(3)]
    assert [look.value for look in looks] == [1, 1, 1]
    assert 0 <= looks[-1].age_s < 60


def test_last_value_is_given_while_a_new_one_is_looked_up() -> None:
    go_on, value = threading.Event(), Kept[int](fresh_s=0, old_s=60)
    assert value.get("key", lambda: 1).value == 1

    def slow() -> int:
        go_on.wait(10)
        return 2

    assert value.get("key", slow).value == 1
    go_on.set()
    deadline = time.monotonic() + 10
    while value.get("key", lambda: 2).value != 2:
        assert time.monotonic() < deadline


def test_error_is_told_and_another_key_starts_anew() -> None:
    value: Kept[int] = Kept(fresh_s=60, old_s=60)

    def away() -> int:
        raise RedisError("refused\nat length")

    assert value.get("one", away) == kept.Look(None, "refused", 0.0)
    assert value.get("other", lambda: 3).value == 3


def test_nobody_waits_for_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "WAIT_S", 0.01)
    go_on, value = threading.Event(), Kept[int](fresh_s=0, old_s=0)
    look = value.get("key", lambda: int(go_on.wait(10)))
    go_on.set()
    assert (look.value, look.error) == (None, "no answer within 0.01 s")
