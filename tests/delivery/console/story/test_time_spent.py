from __future__ import annotations

from itertools import pairwise

from delivery.console.story.time_spent import LEAST_WIDTH, WIDTH, Part, spent_of
from tests.delivery.console.story.tale import after, tale, tried


def test_time_is_parted_between_us_and_them() -> None:
    facts = tale(
        60,
        [tried(0.05, took_ms=2000), tried(7.05, 2, took_ms=1000, outcome="delivered")],
        status="delivered",
        finished_at=after(8.1),
    )
    spent = spent_of(facts)
    assert spent.totals == [
        (Part.BUS, "on the bus", "10 ms"),
        (Part.QUEUE, "in our queues", "90 ms"),
        (Part.RECEIVER, "at the receiver", "3 s"),
        (Part.WAIT, "between attempts", "5 s"),
    ]
    assert (spent.ours, spent.theirs, spent.whole) == ("100 ms", "3 s", "8.1 s")


def test_every_piece_can_be_seen_and_none_overlaps_when_one_took_days() -> None:
    attempts = [tried(place * 90_000 + 1, place + 1, took_ms=5) for place in range(30)]
    bars = spent_of(tale(3_000_000, attempts, next_attempt_at=after(4_000_000))).bars
    assert all(bar.width >= LEAST_WIDTH - 1 for bar in bars)
    assert all(one.x + one.width == two.x for one, two in pairwise(bars))
    assert bars[-1].x + bars[-1].width == WIDTH


def test_bars_are_bounded_when_there_were_hundreds_of_attempts() -> None:
    bars = spent_of(tale(9000, [tried(place * 10 + 1, place + 1) for place in range(400)])).bars
    assert len(bars) <= WIDTH // LEAST_WIDTH


def test_rest_before_a_replay_is_nobodys_time() -> None:
    facts = tale(
        900,
        [tried(1), tried(601, 2, replay=True, outcome="delivered")],
        status="delivered",
        replays=1,
        round_at=after(600),
    )
    assert (Part.REST, "ended, before a replay", "9 m 58 s") in spent_of(facts).totals


def test_hold_is_told_apart_from_the_queue() -> None:
    assert (Part.HELD, "held", "30 s") in spent_of(tale(30.01, held_reason="endpoint_paused")).totals
    assert spent_of(tale(30.01)).totals[-1] == (Part.QUEUE, "in our queues", "30 s")
    late = tale(100, [tried(1)], next_attempt_at=after(6.1))
    assert spent_of(late).totals[-1] == (Part.WAIT, "between attempts", "5 s")
    assert (Part.QUEUE, "in our queues", "1 m 34 s") in spent_of(late).totals
