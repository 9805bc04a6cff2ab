from __future__ import annotations

from dataclasses import replace

from delivery.console.story.ahead import COMING_SHOWN, ahead_of
from subscriptions.retry_policy import DEFAULT_POLICY, QUICK_POLICY
from tests.delivery.console.story.tale import after, tale, tried


def test_nothing_is_to_come_when_it_has_ended() -> None:
    assert ahead_of(tale(9, [tried(1)], status="dead", dead_at=after(2))) is None


def test_schedule_and_jitter_explain_the_next_attempt() -> None:
    ahead = ahead_of(tale(20, [tried(1), tried(6.2, 2)], next_attempt_at=after(326.3)))
    assert ahead is not None
    assert (ahead.number, ahead.attempts) == (3, 10)
    assert ahead.reasons == [
        "Attempt 3 of 10 of its retry policy (standard).",
        "The schedule waits 5 min after attempt 2 has failed.",
        "Jitter added 20 s (up to 20%): what failed together does not return together.",
        "The maximum age is 5 d from the plan: what would come later is not tried.",
    ]


def test_coming_attempts_have_their_earliest_and_latest_time() -> None:
    ahead = ahead_of(tale(20, [tried(1)], next_attempt_at=after(6)))
    assert ahead is not None
    assert [row.number for row in ahead.coming] == list(range(3, 11))
    first = ahead.coming[0]
    assert (first.wait, first.earliest, first.latest) == ("5 min", after(306), after(366))
    assert not ahead.by_age
    assert ahead.given_up_at == ahead.coming[-1].latest


def test_age_ends_it_when_the_schedule_would_go_on() -> None:
    policy = replace(DEFAULT_POLICY, max_age_s=600.0)
    ahead = ahead_of(tale(20, [tried(1)], next_attempt_at=after(6), policy=policy))
    assert ahead is not None
    assert [row.number for row in ahead.coming] == [3]
    assert ahead.by_age
    assert ahead.given_up_at == after(600.01)


def test_retry_after_counts_when_it_is_longer_than_the_schedule() -> None:
    asked = tried(1)
    asked.row.response_headers = [["retry-after", "90"]]
    ahead = ahead_of(tale(20, [asked], next_attempt_at=after(91.2)))
    assert ahead is not None
    assert "The receiver asked for 1 min 30 s by Retry-After: longer, so it counts." in ahead.reasons


def test_hold_is_the_reason_when_it_is_held() -> None:
    ahead = ahead_of(tale(20, held_reason="endpoint_paused", endpoint={"state_reason": "maintenance"}))
    assert ahead is not None
    assert any("its endpoint is paused: maintenance. No attempt is spent" in reason for reason in ahead.reasons)
    assert ahead.by_age


def test_long_schedules_are_cut() -> None:
    policy = replace(QUICK_POLICY, schedule_s=tuple([0.0] + [1.0] * 49))
    ahead = ahead_of(tale(1, policy=policy))
    assert ahead is not None
    assert (len(ahead.coming), ahead.more) == (COMING_SHOWN, 39)
