"""The breaker's rules as tables, and what must hold after any sequence of results and claims."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from delivery.health import breaker
from delivery.health.breaker import BreakerPolicy, Health, Observation, Sign, observe, probe_is_due, sign_of
from delivery.models import BreakerState
from delivery.outcome import MAX_RETRY_AFTER_S, ErrorKind, Outcome, OutcomeKind, classify

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = BreakerPolicy()
PROBE = UUID(int=1)
CLOSED, OPEN, HALF_OPEN = (state.value for state in (BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN))


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def see(health: Health, *signs: Sign, at: datetime = NOW, rand: float = 0.0, **about: Any) -> Health:
    for sign in signs:
        health = observe(health, Observation(sign, **({"reason": "answered 503"} | about)), at, POLICY, rand)
    return health


def opened(at: datetime = NOW) -> Health:
    return see(Health(), *[Sign.FAILURE] * POLICY.consecutive, at=at)


def half_open(at: datetime) -> Health:
    health = opened()
    assert health.next_probe_at
    assert health.next_probe_at <= at
    return breaker.probing(health, PROBE, at, POLICY)


def answer(status: int) -> Outcome:
    kind, error_kind = classify(status, ErrorKind.NONE)
    return Outcome(kind, status_code=status, error_kind=error_kind)


@pytest.mark.parametrize(
    ("statuses", "sign"),
    [
        ([200, 201, 204], Sign.SUCCESS),
        ([500, 501, 502, 503, 504, 521, 302, 308, 401, 402, 403, 404, 405, 407, 408, 421, 425, 426], Sign.FAILURE),
        ([400, 406, 409, 413, 415, 422, 431, 451, 499], Sign.REFUSAL),
        ([429], Sign.THROTTLE),
        ([410], Sign.NONE),
    ],
)
def test_answers_say_what_the_table_says(statuses: list[int], sign: Sign) -> None:
    assert {status: sign_of(answer(status)) for status in statuses} == dict.fromkeys(statuses, sign)


@pytest.mark.parametrize(
    ("kind", "error_kinds", "sign"),
    [
        (
            OutcomeKind.FAILED,
            [
                ErrorKind.DNS,
                ErrorKind.CONNECT_REFUSED,
                ErrorKind.UNREACHABLE,
                ErrorKind.CONNECT_TIMEOUT,
                ErrorKind.TIMEOUT,
                ErrorKind.TLS,
                ErrorKind.RESET,
                ErrorKind.FORBIDDEN_ADDRESS,
                ErrorKind.PROTOCOL,
                ErrorKind.BROKER,
            ],
            Sign.FAILURE,
        ),
        (OutcomeKind.FAILED, [ErrorKind.INTERNAL, ErrorKind.SHUTDOWN], Sign.NONE),
        (OutcomeKind.PERMANENT, [ErrorKind.BAD_REQUEST_HEADER, ErrorKind.EVENT_EXPIRED, ErrorKind.TEMPLATE], Sign.NONE),
        (OutcomeKind.PERMANENT, [ErrorKind.BAD_URL, ErrorKind.ENDPOINT_DISABLED], Sign.NONE),
        (OutcomeKind.DEFERRED, [ErrorKind.RATE_LIMIT, ErrorKind.SHUTDOWN, ErrorKind.BREAKER_OPEN], Sign.NONE),
    ],
)
def test_faults_of_ours_say_nothing_about_the_receiver(
    kind: OutcomeKind, error_kinds: list[ErrorKind], sign: Sign
) -> None:
    found = {error_kind: sign_of(Outcome(kind, error_kind=error_kind)) for error_kind in error_kinds}

    assert found == dict.fromkeys(error_kinds, sign)


def test_opens_when_failures_in_a_row_reach_the_limit() -> None:
    before = see(Health(), *[Sign.FAILURE] * (POLICY.consecutive - 1))
    assert before.state == CLOSED

    health = see(before, Sign.FAILURE)

    assert (health.state, health.openings, health.opened_at) == (OPEN, 1, NOW)
    assert health.next_probe_at == after(POLICY.first_wait_s)
    assert health.reason == "10 failures in a row; the last: answered 503"
    assert health.failing_since == NOW


@pytest.mark.parametrize(("succeeded", "state"), [(10, OPEN), (11, CLOSED), (4, CLOSED)])
def test_opens_by_share_only_when_there_are_enough_results(succeeded: int, state: str) -> None:
    failed = 10 if succeeded > 4 else 9
    health = breaker.credit(Health(), succeeded, 0, NOW, POLICY)
    for number in range(failed):
        health = see(health, Sign.FAILURE)
        if number != failed - 1:
            health = replace(health, consecutive=0)

    assert health.state == state


def test_share_counts_less_of_the_window_before_when_time_goes_on() -> None:
    """10 failures a window ago: with 9 new ones against 10 successes they tip the scale early, and not late."""
    begun = replace(Health(), window_at=NOW, failed=10)

    def last_of(at: datetime) -> Health:
        health = replace(breaker.roll(begun, at, POLICY), succeeded=10, failed=9)
        return see(health, Sign.FAILURE, at=at)

    assert last_of(after(61)).state == OPEN
    assert last_of(after(61)).reason.startswith("66% of 30 requests failed within 60 s")
    health = replace(breaker.roll(begun, after(119), POLICY), succeeded=12, failed=9)
    assert see(health, Sign.FAILURE, at=after(119)).state == CLOSED


@pytest.mark.parametrize(
    ("at_s", "window_s", "counts"),
    [(59.9, 0, (1, 2, 3, 4)), (60, 60, (0, 0, 1, 2)), (119, 60, (0, 0, 1, 2)), (120, 120, (0, 0, 0, 0))],
)
def test_windows_move_on_when_their_time_is_over(at_s: float, window_s: float, counts: tuple[int, ...]) -> None:
    health = Health(window_at=NOW, succeeded=1, failed=2, succeeded_before=3, failed_before=4)

    rolled = breaker.roll(health, after(at_s), POLICY)

    assert rolled.window_at == after(window_s)
    assert (rolled.succeeded, rolled.failed, rolled.succeeded_before, rolled.failed_before) == counts


def test_nothing_is_left_to_say_when_a_success_follows_and_the_windows_are_clean() -> None:
    failing = replace(see(Health(), Sign.FAILURE, Sign.REFUSAL), warned_percent=70)
    assert failing.failing_since == NOW

    soon = see(failing, Sign.SUCCESS, at=after(30))
    assert (soon.consecutive, soon.failing_since, soon.warned_percent, soon.failed) == (0, None, 0, 1)
    assert breaker.matters(soon, after(30), POLICY)
    late = see(failing, Sign.SUCCESS, at=after(150))
    assert late == Health()
    assert not breaker.matters(late, after(150), POLICY)


@pytest.mark.parametrize("sign", [Sign.REFUSAL, Sign.THROTTLE])
def test_refusals_start_the_clock_but_open_nothing(sign: Sign) -> None:
    health = see(Health(), *[sign] * 100)

    assert (health.state, health.consecutive, health.failed) == (CLOSED, 0, 0)
    assert health.failing_since == NOW
    assert see(health, sign, at=after(7200)).failing_for == timedelta(hours=2)


def test_earlier_successes_end_no_failure_when_they_are_credited() -> None:
    failing = see(Health(), Sign.FAILURE)

    credited = breaker.credit(failing, 5, 7, NOW, POLICY)

    assert (credited.succeeded, credited.succeeded_before) == (5, 7)
    assert (credited.consecutive, credited.failing_since) == (1, NOW)
    assert breaker.credit(opened(), 5, 7, NOW, POLICY) == opened()


@pytest.mark.parametrize("sign", [Sign.SUCCESS, Sign.FAILURE, Sign.REFUSAL, Sign.THROTTLE, Sign.NONE])
def test_nothing_changes_while_open_when_late_results_come_in(sign: Sign) -> None:
    assert see(opened(), sign, at=after(5), delivery_id=uuid4()) == opened()
    probing = half_open(after(10))
    assert see(probing, sign, at=after(12), delivery_id=uuid4()) == probing
    assert see(probing, sign, at=after(12)) == probing


def test_closes_when_the_probe_succeeds() -> None:
    health = see(half_open(after(10)), Sign.SUCCESS, at=after(11), delivery_id=PROBE)

    assert health == Health(opened_at=NOW, closed_at=after(11))


def test_opens_for_twice_as_long_when_the_probe_fails() -> None:
    health = see(half_open(after(10)), Sign.FAILURE, at=after(11), delivery_id=PROBE)

    assert (health.state, health.openings, health.opened_at) == (OPEN, 2, NOW)
    assert health.next_probe_at == after(11 + 20)
    assert (health.probe_delivery_id, health.probe_until) == (None, None)
    assert health.reason == "The probe failed: answered 503"
    assert health.failing_since == NOW


def test_probe_says_not_yet_when_it_is_answered_429() -> None:
    health = see(half_open(after(10)), Sign.THROTTLE, at=after(11), delivery_id=PROBE, retry_after_s=300)

    assert (health.state, health.openings, health.hold_until) == (OPEN, 2, after(311))
    assert not probe_is_due(health, after(310))
    assert probe_is_due(health, after(311))


def test_receiver_is_called_again_when_it_refused_the_probe_for_its_content() -> None:
    """Its openings are still in a row: no success was seen."""
    health = see(half_open(after(10)), Sign.REFUSAL, at=after(11), delivery_id=PROBE)

    assert (health.state, health.openings, health.failing_since) == (CLOSED, 1, NOW)
    again = see(health, *[Sign.FAILURE] * 10, at=after(12))
    assert (again.openings, again.next_probe_at) == (2, after(32))


def test_next_one_may_probe_at_once_when_the_probe_was_not_sent() -> None:
    health = see(half_open(after(10)), Sign.NONE, at=after(11), delivery_id=PROBE)

    assert (health.state, health.openings) == (OPEN, 1)
    assert probe_is_due(health, after(11))


def test_probe_is_due_again_when_its_worker_died() -> None:
    health = half_open(after(10))

    assert not probe_is_due(health, after(10 + POLICY.probe_lease_s - 0.1))
    assert probe_is_due(health, after(10 + POLICY.probe_lease_s))
    assert breaker.hold_of(health, after(10 + POLICY.probe_lease_s)) is None


def test_late_failure_does_not_count_when_it_was_sent_before_the_breaker_closed() -> None:
    closed = see(half_open(after(10)), Sign.SUCCESS, at=after(11), delivery_id=PROBE)

    assert see(closed, Sign.FAILURE, at=after(15), sent_at=NOW) == closed
    assert see(closed, Sign.FAILURE, at=after(15), sent_at=after(12)).consecutive == 1


def test_hold_only_lengthens_when_the_receiver_asks_again() -> None:
    held = see(Health(), Sign.THROTTLE, retry_after_s=100)
    assert (held.hold_until, held.hold_reason) == (after(100), "The receiver asked for a pause: answered 503")

    assert see(held, Sign.THROTTLE, at=after(50), retry_after_s=10).hold_until == after(100)
    assert see(held, Sign.SUCCESS, at=after(50)).hold_until == after(100)
    assert see(held, Sign.THROTTLE, at=after(50), retry_after_s=60).hold_until == after(110)
    assert see(held, Sign.THROTTLE, retry_after_s=1e9).hold_until == after(MAX_RETRY_AFTER_S)
    assert see(Health(), Sign.THROTTLE, retry_after_s=0.0).hold_until is None
    assert see(opened(), Sign.FAILURE, at=after(1), retry_after_s=60).hold_until == after(61)


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (Health(), None),
        (Health(hold_until=NOW, hold_reason="past"), None),
        (Health(hold_until=after(5), hold_reason="h"), (ErrorKind.RETRY_AFTER, "h", after(5))),
        (Health(state=OPEN, reason="r", next_probe_at=after(9)), (ErrorKind.BREAKER_OPEN, "r", after(9))),
        (Health(state=OPEN, reason="r", next_probe_at=NOW), None),
        (Health(state=OPEN, reason="r", by_hand=True), (ErrorKind.BREAKER_OPEN, "r", None)),
        (
            Health(state=OPEN, next_probe_at=NOW, hold_until=after(5), hold_reason="h"),
            (ErrorKind.RETRY_AFTER, "h", after(5)),
        ),
        (
            Health(state=OPEN, reason="r", next_probe_at=after(9), hold_until=after(5)),
            (ErrorKind.BREAKER_OPEN, "r", after(9)),
        ),
        (Health(state=OPEN, reason="r", by_hand=True, hold_until=after(5)), (ErrorKind.BREAKER_OPEN, "r", None)),
        (Health(state=HALF_OPEN, reason="r", probe_until=after(3)), (ErrorKind.BREAKER_OPEN, "r", after(3))),
    ],
)
def test_hold_is_the_one_that_lasts_longest(health: Health, expected: tuple[object, ...] | None) -> None:
    hold = breaker.hold_of(health, NOW)

    assert (hold and (hold.kind, hold.reason, hold.until)) == expected


def test_waits_double_up_to_the_cap_and_jitter_is_only_added() -> None:
    assert [POLICY.base_wait_s(openings) for openings in range(1, 9)] == [10, 20, 40, 80, 160, 320, 600, 600]
    assert POLICY.base_wait_s(10_000) == 600
    assert POLICY.wait(1, 0.0) == timedelta(seconds=10)
    assert POLICY.wait(10_000, 1.0) == timedelta(seconds=660)


@settings(deadline=None)
@given(st.integers(1, 20_000), st.floats(0, 1, exclude_max=True))
def test_wait_lies_between_base_and_base_with_all_jitter(openings: int, rand: float) -> None:
    wait_s = POLICY.wait(openings, rand).total_seconds()

    assert POLICY.base_wait_s(openings) <= wait_s + 1e-6
    assert wait_s <= POLICY.base_wait_s(openings) * (1 + POLICY.jitter_share) + 1e-6
    assert POLICY.base_wait_s(openings) <= POLICY.base_wait_s(openings + 1) <= POLICY.max_wait_s


def test_no_probe_comes_when_it_was_opened_by_hand() -> None:
    for health in (Health(), opened(), half_open(after(10))):
        by_hand = breaker.opened_by_hand(health, "maintenance", after(20))
        assert (by_hand.state, by_hand.by_hand, by_hand.reason) == (OPEN, True, "maintenance")
        assert not probe_is_due(by_hand, after(1e6))
        assert see(by_hand, Sign.SUCCESS, at=after(30), delivery_id=PROBE) == by_hand


def test_clock_of_failing_goes_on_when_somebody_closes_it() -> None:
    health = breaker.closed(opened(), after(3600))

    assert (health.state, health.consecutive, health.failed, health.failing_since) == (CLOSED, 0, 0, NOW)
    assert health.failing_for == timedelta()
    assert see(health, Sign.FAILURE, at=after(7200)).failing_for == timedelta(hours=2)


class BreakerMachine(RuleBasedStateMachine):
    """Any results of any deliveries at any time, probes claimed by many workers, some of which die."""

    @initialize()
    def start(self) -> None:
        self.health = Health()
        self.now = NOW
        self.waits: list[timedelta] = []
        self.out: dict[UUID, datetime] = {}  # probes that were let go, and until when they count

    def see(self, observation: Observation) -> None:
        before = self.health
        self.health = observe(before, observation, self.now, POLICY, 0.5)
        if self.health.openings > before.openings:
            assert self.health.next_probe_at
            self.waits.append(self.health.next_probe_at - self.now)
        if self.health.openings < before.openings:
            assert observation.sign is Sign.SUCCESS
            self.waits = []

    @rule(seconds=st.sampled_from([0, 1, 9, 15, 45, 200, 700, 40_000]))
    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(sign=st.sampled_from(Sign), count=st.sampled_from([1, 1, 3, 25]), asked=st.sampled_from([None, None, 5, 1e6]))
    def result_of_another(self, sign: Sign, count: int, asked: float | None) -> None:
        before = self.health
        self.see(Observation(sign, count, uuid4(), None, "r", None if sign is Sign.SUCCESS else asked))
        if before.state != CLOSED:
            assert replace(self.health, hold_until=None, hold_reason="") == replace(
                before, hold_until=None, hold_reason=""
            )
        if before.hold_until:
            assert self.health.hold_until
            assert before.hold_until <= self.health.hold_until

    @rule()
    def claim(self) -> None:
        if not probe_is_due(self.health, self.now):
            return
        assert self.health.hold_until is None or self.health.hold_until <= self.now
        probe = uuid4()
        self.health = breaker.probing(self.health, probe, self.now, POLICY)
        self.out[probe] = self.now + POLICY.probe_lease

    @precondition(lambda self: self.out)
    @rule(sign=st.sampled_from(Sign), data=st.data())
    def result_of_a_probe(self, sign: Sign, data: st.DataObject) -> None:
        probe = data.draw(st.sampled_from(sorted(self.out)))
        before = self.health
        self.see(Observation(sign, 1, probe, None, "r"))
        if before.state == HALF_OPEN and before.probe_delivery_id != probe:
            assert self.health == before
        if before.probe_delivery_id == probe:
            closes = sign in (Sign.SUCCESS, Sign.REFUSAL)
            assert self.health.state == (CLOSED if closes else OPEN)
        del self.out[probe]

    @rule(action=st.sampled_from(["open", "close", "probe"]))
    def by_hand(self, action: str) -> None:
        if action == "open":
            self.health = breaker.opened_by_hand(self.health, "hand", self.now)
        elif action == "close" and self.health.state != CLOSED:
            self.health = breaker.closed(self.health, self.now)
        elif self.health.state == OPEN:
            self.health = breaker.due_now(self.health, self.now)

    @invariant()
    def fields_fit_the_state(self) -> None:
        health = self.health
        probe = (health.probe_delivery_id, health.probe_until)
        if health.state == CLOSED:
            assert (health.next_probe_at, health.by_hand, *probe) == (None, False, None, None)
        elif health.state == OPEN:
            assert probe == (None, None)
            assert (health.next_probe_at is None) == health.by_hand
        else:
            assert None not in probe
            assert (health.next_probe_at, health.by_hand) == (None, False)

    @invariant()
    def at_most_one_probe_counts(self) -> None:
        counting = [probe for probe in self.out if self.health.probe_delivery_id == probe]
        assert len(counting) <= 1

    @invariant()
    def held_or_probed_unless_closed(self) -> None:
        held = breaker.hold_of(self.health, self.now) is not None
        due = probe_is_due(self.health, self.now)
        assert not (held and due)
        if self.health.state != CLOSED:
            assert held or due
        if self.health != Health() and held:
            assert breaker.matters(self.health, self.now, POLICY)

    @invariant()
    def waits_never_shrink_before_a_success(self) -> None:
        assert self.waits == sorted(self.waits)
        assert all(POLICY.wait(1, 0) <= wait <= POLICY.wait(10_000, 1) for wait in self.waits)


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(deadline=None)
