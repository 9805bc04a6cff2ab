from __future__ import annotations

from datetime import timedelta

from delivery.console.story.timeline import timeline
from delivery.models import Attempt
from tests.delivery.console.story.tale import START, after, entry, tale, tried

TARGET = f"delivery:{tale(0).delivery.pk}"


def words(facts: object) -> list[str]:
    steps = timeline(facts, "events")  # type: ignore[arg-type]
    return [f"attempt {step.attempt.number}" if isinstance(step.attempt, Attempt) else step.what for step in steps]


def test_story_goes_from_publish_to_receipt_when_all_is_well() -> None:
    facts = tale(5, [tried(0.05, took_ms=40, outcome="delivered")], status="delivered", finished_at=after(0.1))
    facts.delivery.event.time = START - timedelta(seconds=2)
    steps = timeline(facts, "events")
    assert [step.kind for step in steps] == ["published", "accepted", "bus", "planned", "attempt", "delivered"]
    assert [step.after for step in steps] == ["", "2 s", "", "10 ms", "40 ms", "10 ms"]
    assert steps[2].detail == "topic events, partition 3, offset 42"
    assert steps[-1].detail == "100 ms after it was accepted"


def test_producers_clock_is_told_when_it_is_ahead() -> None:
    facts = tale(5)
    facts.delivery.event.time = after(3)
    steps = timeline(facts, "events")
    assert [step.kind for step in steps] == ["accepted", "bus", "planned"]
    assert "3 s later: the producer’s clock is ahead" in steps[0].detail


def test_wait_is_explained_when_a_retry_follows() -> None:
    steps = timeline(tale(700, [tried(1), tried(6.4, 2), tried(400, 3)]), "events")
    told = {step.attempt.number: step.why for step in steps if step.attempt}
    assert told[1] == ""
    assert told[2] == "the schedule’s 5 s and jitter"
    assert told[3].startswith("1 m 33 s longer than the schedule’s 5 min")


def test_wait_is_the_receivers_when_it_asked_for_it() -> None:
    asked = tried(1)
    asked.row.response_headers = [["Retry-After", "120"]]
    steps = timeline(tale(300, [asked, tried(122, 2)]), "events")
    assert steps[-1].why == "the receiver asked for 2 min"


def test_replays_stand_between_their_rounds_with_who_asked() -> None:
    facts = tale(
        900,
        [tried(1), tried(601, 2, replay=True)],
        status="dead",
        replays=1,
        round_at=after(600),
        earlier_deaths=[after(2)],
        dead_at=after(602),
        dead_reason="spent",
        entries=[entry(600.01, "delivery.replayed", TARGET), entry(5, "endpoint.changed", "endpoint:7")],
    )
    assert words(facts)[-5:] == ["attempt 1", "Dead", "Replayed by eva", "attempt 2", "Dead"]


def test_replay_of_many_is_told_when_the_trail_names_no_person() -> None:
    facts = tale(900, [tried(1)], status="pending", replays=1, round_at=after(600))
    assert words(facts)[-1] == "Replayed in a replay of many"


def test_cancel_and_pass_over_name_who_did_it() -> None:
    cancelled = tale(
        9, status="cancelled", cancelled_at=after(5), entries=[entry(5, "delivery.cancelled", TARGET, "user:bob")]
    )
    assert words(cancelled)[-1] == "Cancelled by bob"
    assert words(tale(9, status="cancelled", cancelled_at=after(5)))[-1] == "Cancelled"
    passed = [entry(7, "delivery.passed_over", TARGET)]
    facts = tale(9, [tried(1)], status="dead", dead_at=after(2), dead_reason="spent", entries=passed)
    assert words(facts)[-2:] == ["Dead", "Passed over by eva"]
