from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest

from delivery.chaos.faults import FAULTS, deck
from delivery.chaos.report import Result, Round, as_json, as_text, heading, row

ROUND = Round(1, "kill web", 1.0, 2.5, 900, 1, {"p50": 20.0, "p99": 90.0, "max": 120.0})
GOOD = Result(
    seed=3,
    events=20_000,
    accepted=64_000,
    delivered=64_000,
    duplicates=64,
    rounds=[ROUND],
    recovery_limit_s=60.0,
    wall_s=100.0,
    drain_s=1.0,
    decoy_calls=0,
    flooded_bytes_most=70_000,
    unanswered=5,
    refused=[],
    ended=[],
    acted={"fail": 2},
    doubled=[],
)


def test_no_bar_is_broken_when_all_is_within_bounds() -> None:
    assert GOOD.broken() == []
    assert "all bars held" in as_text(GOOD)
    assert {
        "accepted": 64_000,
        "delivered": 64_000,
        "lost": 0,
        "duplicates": 64,
        "rounds": 1,
        "recovery_s_max": 2.5,
    }.items() <= as_json(GOOD).items()


@pytest.mark.parametrize(
    ("result", "word"),
    [
        (replace(GOOD, accepted=64_001), "lost 1"),
        (replace(GOOD, duplicates=65), "duplicates"),
        (replace(GOOD, rounds=[replace(ROUND, recovery_s=30.1)]), "recovery 30.1 s"),
        (replace(GOOD, rounds=[replace(ROUND, recovery_s=None)]), "recovery 60 s"),
        (replace(GOOD, decoy_calls=1), "redirect"),
        (replace(GOOD, refused=["publish API: 400"]), "publish API: 400"),
        (replace(GOOD, ended=["worker1"]), "worker1"),
    ],
)
def test_bar_is_broken_when_one_thing_is_beyond_it(result: Result, word: str) -> None:
    (broken,) = result.broken()
    assert word in broken
    assert "BROKEN" in as_text(result)


def test_table_lines_up() -> None:
    assert len(heading()) == len(row(ROUND)) == len(row(replace(ROUND, recovery_s=None, latency_ms={})))


def test_every_fault_is_dealt_as_often_as_the_others_and_the_same_again_from_the_same_seed() -> None:
    def dealt(seed: int) -> list[str]:
        return [fault.name for fault in islice(deck(FAULTS, random.Random(seed)), 3 * len(FAULTS))]

    assert set(Counter(dealt(1)).values()) == {3}
    assert dealt(1) == dealt(1)
    assert dealt(1) != dealt(2)
