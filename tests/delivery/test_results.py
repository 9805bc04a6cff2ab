from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.planning import HELD_LOOK_S
from delivery.results import COUNTDOWN_MAX_S, DEFAULT_HOLD_S, judge, result_row
from delivery.states import LEGAL_MOVES, DeliveryStatus
from delivery.store import Loaded
from delivery.worker.held import Batch, Held
from subscriptions.retry_policy import DEFAULT_POLICY, RetryPolicy
from tests.factories import event_id_at

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def held(policy: RetryPolicy = DEFAULT_POLICY, **changes: object) -> Held:
    loaded = Loaded(event_id_at(NOW - timedelta(seconds=2)), 1, 2, "pending", 0, 0, 0, NOW, b"{}", "", 3)
    return Held(Batch(5, 1, 1), loaded._replace(**changes), policy)


FAILED = Outcome(OutcomeKind.FAILED, 500)


def test_retry_goes_by_countdown_when_it_is_near() -> None:
    verdict = judge(held(), FAILED, NOW, 0.0)
    assert (verdict.status, verdict.retry_at) == (DeliveryStatus.RETRYING, NOW + timedelta(seconds=5))
    assert verdict.by_countdown
    row = result_row(held(), FAILED, verdict, NOW)
    assert (row.next_attempt_at, row.due_at) == (verdict.retry_at, None)


@pytest.mark.parametrize(("wait_s", "near"), [(COUNTDOWN_MAX_S, True), (COUNTDOWN_MAX_S + 1, False)])
def test_retry_waits_for_the_sweep_when_it_is_far(wait_s: float, near: bool) -> None:
    verdict = judge(held(RetryPolicy(schedule_s=(0, wait_s))), FAILED, NOW, 0.0)
    assert verdict.by_countdown is near
    row = result_row(held(), FAILED, verdict, NOW)
    assert (row.due_at is None) is near


def test_tries_of_this_round_count_when_a_replay_fails() -> None:
    spent = RetryPolicy(schedule_s=(0, 60))
    first = judge(held(spent, attempts=9, tries=0, replays=1), FAILED, NOW, 0.0)
    assert first.status is DeliveryStatus.RETRYING
    second = judge(held(spent, attempts=10, tries=1, replays=1), FAILED, NOW, 0.0)
    assert (second.status, second.dead_reason) == (DeliveryStatus.DEAD, "spent")


def test_hold_has_a_length_when_the_deferral_names_none() -> None:
    verdict = judge(held(), Outcome(OutcomeKind.DEFERRED, error_kind=ErrorKind.IN_FLIGHT_CAP), NOW, 0.9)
    assert verdict.retry_at == NOW + timedelta(seconds=DEFAULT_HOLD_S)
    assert (verdict.held_reason, verdict.by_countdown) == ("in_flight_cap", False)


def test_held_delivery_is_looked_at_again_when_nobody_lets_it_go() -> None:
    waiting = Outcome(OutcomeKind.DEFERRED, error_kind=ErrorKind.BREAKER_OPEN, retry_after_s=36_000)
    row = result_row(held(), waiting, judge(held(), waiting, NOW, 0.0), NOW)
    assert row.next_attempt_at == NOW + timedelta(hours=10)
    assert row.due_at == NOW + timedelta(seconds=HELD_LOOK_S)


def test_held_delivery_is_dead_when_its_maximum_age_is_over() -> None:
    old = held(RetryPolicy(max_age_s=60), round_at=NOW - timedelta(seconds=60))
    verdict = judge(old, Outcome(OutcomeKind.DEFERRED, error_kind=ErrorKind.RATE_LIMIT, retry_after_s=1), NOW, 0.0)
    assert (verdict.status, verdict.dead_reason) == (DeliveryStatus.DEAD, "too_old")


def test_delivery_goes_on_at_once_when_its_worker_stops() -> None:
    verdict = judge(held(), Outcome(OutcomeKind.DEFERRED, error_kind=ErrorKind.SHUTDOWN, retry_after_s=1), NOW, 0.0)
    assert (verdict.status, verdict.retry_at, verdict.held_reason) == (DeliveryStatus.PENDING, NOW, "")
    assert verdict.by_countdown, "in a dispatch of its own"


@pytest.mark.parametrize("kind", [ErrorKind.ENDPOINT_DELETED, ErrorKind.ENDPOINT_DISABLED, ErrorKind.EVENT_EXPIRED])
def test_no_attempt_is_spent_when_it_died_without_one(kind: ErrorKind) -> None:
    outcome = Outcome(OutcomeKind.PERMANENT, error_kind=kind)
    row = result_row(held(), outcome, judge(held(), outcome, NOW, 0.0), NOW)
    assert (row.status, row.dead_reason, row.outcome) == ("dead", kind.value, "deferred")


def test_wait_is_the_longer_one_when_the_receiver_names_another() -> None:
    short = judge(held(), Outcome(OutcomeKind.THROTTLED, 429, retry_after_s=1), NOW, 0.0)
    long = judge(held(), Outcome(OutcomeKind.THROTTLED, 429, retry_after_s=120), NOW, 0.0)
    assert short.retry_at == NOW + timedelta(seconds=5)
    assert long.retry_at == NOW + timedelta(seconds=120)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome(OutcomeKind.GONE, 410), "gone"),
        (Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.BAD_URL), "bad_url"),
        (Outcome(OutcomeKind.PERMANENT), "permanent"),
    ],
)
def test_delivery_is_dead_when_no_retry_can_help(outcome: Outcome, reason: str) -> None:
    verdict = judge(held(), outcome, NOW, 0.0)
    assert (verdict.status, verdict.dead_reason, verdict.retry_at) == (DeliveryStatus.DEAD, reason, None)


@pytest.mark.parametrize(("replays", "latency_ms"), [(0, 2000.0), (1, None)])
def test_latency_counts_in_the_first_round_only(replays: int, latency_ms: float | None) -> None:
    outcome = Outcome(OutcomeKind.DELIVERED, 204)
    mine = held(replays=replays)
    row = result_row(mine, outcome, judge(mine, outcome, NOW, 0.0), NOW)
    assert row.latency_ms == pytest.approx(latency_ms, abs=1) if latency_ms else row.latency_ms is None


def test_latency_is_not_negative_when_the_clocks_differ() -> None:
    outcome = Outcome(OutcomeKind.DELIVERED, 204)
    mine = held(id=event_id_at(NOW + timedelta(minutes=1)))
    assert result_row(mine, outcome, judge(mine, outcome, NOW, 0.0), NOW).latency_ms == 0.0


TEXT = st.text(st.characters(codec="latin-1"), max_size=20) | st.just("\\u0000")


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5), TEXT)
def test_texts_are_fit_for_the_database_whatever_the_receiver_sent(headers: list[tuple[str, str]], error: str) -> None:
    outcome = Outcome(OutcomeKind.FAILED, 500, error=error, response_headers=tuple(headers))
    row = result_row(held(), outcome, judge(held(), outcome, NOW, 0.5), NOW)
    assert "\0" not in row.error
    kept = json.loads(row.response_headers)
    assert kept == [[name.replace("\0", ""), value.replace("\0", "")] for name, value in headers]


OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(OutcomeKind),
    st.none() | st.integers(100, 599),
    retry_after_s=st.none() | st.floats(0, 36_000),
)
POLICIES = st.builds(
    RetryPolicy,
    st.lists(st.floats(0, 86_400), min_size=1, max_size=5).map(tuple),
    max_age_s=st.floats(60, 86_400),
)


@given(OUTCOMES, POLICIES, st.sampled_from(["pending", "retrying"]), st.integers(0, 6), st.floats(0, 0.999))
def test_delivery_is_never_left_alone(
    outcome: Outcome, policy: RetryPolicy, status: str, tries: int, rand: float
) -> None:
    """Whatever comes: it has ended, or it has a time at which a dispatch or the sweep takes it up again."""
    mine = held(policy, status=status, tries=tries)
    verdict = judge(mine, outcome, NOW, rand)
    row = result_row(mine, outcome, verdict, NOW)
    ended = verdict.status in (DeliveryStatus.DELIVERED, DeliveryStatus.DEAD)
    assert ended == (verdict.retry_at is None)
    assert ended or (row.due_at is not None) != verdict.by_countdown
    assert ended or verdict.status == status or verdict.status in LEGAL_MOVES[DeliveryStatus(status)]
    assert (verdict.status is DeliveryStatus.DEAD) == bool(verdict.dead_reason)
    assert ended or (verdict.retry_at or NOW) <= NOW + timedelta(seconds=policy.max_age_s)
