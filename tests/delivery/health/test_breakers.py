"""What processes know, count and write of endpoints' health; each test's boards and tallies are as many processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEntry
from audit.trail import Actor
from delivery.health import breakers
from delivery.health.breaker import BreakerPolicy, Health
from delivery.health.breakers import Board, HealthTally, breaker_policy
from delivery.models import Breaker, BreakerState
from delivery.outcome import ErrorKind, Outcome, OutcomeKind, deferred
from subscriptions.models import Endpoint
from tests.factories import EndpointFactory

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EVA = Actor("user:eva", "203.0.113.9")
OK = Outcome(OutcomeKind.DELIVERED, 204)
DOWN = Outcome(OutcomeKind.FAILED, 500, ErrorKind.HTTP_STATUS, "answered 500 Internal Server Error")
INVALID = Outcome(OutcomeKind.FAILED, 422, ErrorKind.HTTP_STATUS, "answered 422 Unprocessable Entity")
BUSY = Outcome(OutcomeKind.THROTTLED, 429, ErrorKind.HTTP_STATUS, "answered 429 Too Many Requests", retry_after_s=120.0)
CUT = deferred(ErrorKind.SHUTDOWN, "the worker stops", 0.0)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class Process:
    """One worker's board and tally, on a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = 1000.0
        self.board = Board(BreakerPolicy())
        self.tally = HealthTally(self.board, lambda: self.clock)

    def results(self, endpoint: Endpoint, *outcomes: Outcome, at: datetime = NOW, probe: UUID | None = None) -> bool:
        """As the recorder handles one group; says whether something was written."""
        for outcome in outcomes:
            self.tally.add(endpoint.pk, endpoint.tenant_id, probe or uuid4(), outcome)
        due = self.tally.due()
        if due:
            with transaction.atomic():
                self.tally.write(at)
            self.tally.settle(at)
        return due


@pytest.fixture
def worker() -> Process:
    return Process()


@pytest.fixture
def endpoint() -> Endpoint:
    return EndpointFactory()


def row(endpoint: Endpoint) -> Breaker:
    return Breaker.objects.get(pk=endpoint.pk)


def opened(worker: Process, endpoint: Endpoint, at: datetime = NOW) -> datetime:
    """Opens the endpoint's breaker; returns when its probe is due."""
    worker.results(endpoint, *[DOWN] * 10, at=at)
    due_at = row(endpoint).next_probe_at
    assert due_at
    return due_at


def test_policy_is_the_settings() -> None:
    assert breaker_policy() == BreakerPolicy()


def test_policy_follows_the_settings_when_they_change(settings: Settings) -> None:
    settings.BREAKER_MIN_COUNT, settings.BREAKER_FAILURE_SHARE, settings.BREAKER_WINDOW_S = 5, 0.25, 30
    settings.BREAKER_CONSECUTIVE, settings.BREAKER_FIRST_WAIT_S, settings.BREAKER_MAX_WAIT_S = 3, 2, 20
    settings.WEBHOOK_MAX_TIMEOUT_S = 60

    expected = BreakerPolicy(5, 0.25, 30, 3, 2, 20, probe_lease_s=120)
    assert Board().policy == expected


def test_row_is_read_as_it_was_written_when_every_field_is_set(endpoint: Endpoint) -> None:
    values: dict[str, Any] = {
        "state": BreakerState.HALF_OPEN.value,
        "reason": "r",
        "by_hand": True,
        "opened_at": after(1),
        "closed_at": after(2),
        "next_probe_at": after(3),
        "probe_delivery_id": uuid4(),
        "probe_until": after(4),
        "openings": 5,
        "hold_until": after(6),
        "hold_reason": "h",
        "consecutive": 7,
        "window_at": after(8),
        "succeeded": 9,
        "failed": 10,
        "succeeded_before": 11,
        "failed_before": 12,
        "failing_since": after(13),
        "warned_percent": 14,
    }
    written = Health(**values)
    breakers.breaker_store.ensure([(endpoint.pk, endpoint.tenant_id)])

    with transaction.atomic():
        assert breakers.breaker_store.lock([endpoint.pk]) == {endpoint.pk: Health()}
        breakers.breaker_store.save({endpoint.pk: written})

    assert breakers.breaker_store.read(endpoint.pk) == written
    stored = row(endpoint)
    assert {name: getattr(stored, name) for name in values} == values
    assert stored.tenant_id == endpoint.tenant_id


def test_healthy_endpoint_costs_no_statement(broken_database: None, worker: Process, endpoint: Endpoint) -> None:
    assert not worker.results(endpoint, *[OK] * 100)

    with transaction.atomic():
        worker.tally.write(NOW)
    worker.tally.settle(NOW)


def test_successes_before_the_first_failure_count_in_the_share(worker: Process, endpoint: Endpoint) -> None:
    worker.results(endpoint, *[OK] * 30)

    assert worker.results(endpoint, DOWN, OK, *[DOWN] * 9)

    stored = row(endpoint)
    assert (stored.succeeded, stored.failed, stored.consecutive) == (31, 10, 9)
    assert stored.state == BreakerState.CLOSED
    assert worker.board.held == {}


def test_breaker_opens_at_once_for_this_process_when_failures_follow_each_other(
    worker: Process, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    due_at = opened(worker, endpoint)

    assert due_at - NOW >= timedelta(seconds=10)
    hold = worker.board.hold(endpoint.pk, NOW)
    assert hold
    assert (hold.kind, hold.until) == (ErrorKind.BREAKER_OPEN, due_at)
    assert hold.reason == "10 failures in a row; the last: answered 500 Internal Server Error"
    assert worker.board.held == {endpoint.pk: hold}
    (said,) = [entry for entry in caplog.records if entry.message == "breaker.opened"]
    assert (vars(said)["endpoint_id"], vars(said)["openings"]) == (endpoint.pk, 1)
    assert not AuditEntry.objects.exists()


def test_local_successes_are_forgotten_when_they_are_older_than_two_windows(
    worker: Process, endpoint: Endpoint
) -> None:
    worker.results(endpoint, *[OK] * 5)
    worker.clock += 61
    worker.results(endpoint)
    worker.results(endpoint, *[OK] * 7)
    worker.results(endpoint, DOWN)
    assert (row(endpoint).succeeded, row(endpoint).succeeded_before) == (7, 5)

    other = EndpointFactory()
    worker.results(other, *[OK] * 5)
    worker.clock += 121
    worker.results(other, DOWN)
    assert (row(other).succeeded, row(other).succeeded_before) == (0, 0)


def test_success_ends_the_failing_for_all_when_another_process_sees_it(endpoint: Endpoint) -> None:
    one, two = Process(), Process()
    one.results(endpoint, DOWN)
    assert row(endpoint).failing_since == NOW
    two.board.refresh_if_due(after(1))

    assert two.results(endpoint, OK, at=after(1))

    assert (row(endpoint).failing_since, row(endpoint).consecutive) == (None, 0)


def test_successes_wait_for_their_group_when_the_endpoint_is_well_again(worker: Process, endpoint: Endpoint) -> None:
    worker.results(endpoint, DOWN, OK)
    assert not worker.results(endpoint, OK, OK)
    assert row(endpoint).succeeded == 1

    worker.clock += breakers.UNHURRIED_S
    assert worker.results(endpoint, OK)

    assert row(endpoint).succeeded == 4


def test_endpoint_is_forgotten_when_its_windows_are_clean(worker: Process, endpoint: Endpoint) -> None:
    worker.results(endpoint, DOWN)
    assert endpoint.pk in worker.board.known

    worker.results(endpoint, OK, at=after(130))

    assert worker.board.known == {}
    worker.board.refresh_if_due(after(131))
    assert worker.board.known == {}


def test_nothing_is_lost_or_counted_twice_when_the_transaction_is_rolled_back(
    worker: Process, endpoint: Endpoint
) -> None:
    worker.results(endpoint, OK, OK)
    worker.tally.add(endpoint.pk, endpoint.tenant_id, uuid4(), DOWN)
    with transaction.atomic():
        worker.tally.write(NOW)
        transaction.set_rollback(True)
    assert not Breaker.objects.exists()

    with transaction.atomic():
        worker.tally.write(NOW)
    worker.tally.settle(NOW)

    assert (row(endpoint).succeeded, row(endpoint).failed) == (2, 1)
    assert not worker.tally.due()
    worker.results(endpoint, DOWN)
    assert (row(endpoint).succeeded, row(endpoint).failed) == (2, 2)


def test_pause_holds_the_whole_endpoint_when_the_receiver_asks_for_one(
    worker: Process, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    worker.results(endpoint, BUSY)

    for board in (worker.board, Process().board):
        board.refresh_if_due(after(1))
        hold = board.hold(endpoint.pk, after(1))
        assert hold
        assert (hold.kind, hold.until) == (ErrorKind.RETRY_AFTER, after(120))
        assert hold.reason == "The receiver asked for a pause: answered 429 Too Many Requests"
        assert board.held == {endpoint.pk: hold}
        assert board.hold(endpoint.pk, after(120)) is None
        board.refresh_if_due(after(120))
        assert board.held == {}
    assert "endpoint.held" in caplog.messages


def test_refusals_wait_for_their_group_and_start_the_clock(worker: Process, endpoint: Endpoint) -> None:
    assert not worker.results(endpoint, INVALID)
    worker.clock += breakers.UNHURRIED_S

    assert worker.results(endpoint, INVALID, at=after(1))

    stored = row(endpoint)
    assert (stored.failing_since, stored.failed, stored.state) == (after(1), 0, BreakerState.CLOSED)


@pytest.mark.parametrize("outcome", [INVALID, CUT, Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.TEMPLATE)])
def test_breaker_stays_closed_when_it_is_the_messages_fault(
    worker: Process, endpoint: Endpoint, outcome: Outcome
) -> None:
    worker.results(endpoint, *[outcome] * 50)
    worker.clock += breakers.UNHURRIED_S
    worker.results(endpoint, outcome)

    assert worker.board.held == {}
    assert list(Breaker.objects.values_list("state", "consecutive")) in ([], [("closed", 0)])


def test_text_that_postgres_cannot_hold_is_kept_without_it(worker: Process, endpoint: Endpoint) -> None:
    worker.results(endpoint, *[Outcome(OutcomeKind.FAILED, 500, ErrorKind.HTTP_STATUS, "a\0b")] * 10)

    assert row(endpoint).reason.endswith("the last: ab")


def test_one_probe_goes_and_closes_the_breaker_when_it_succeeds(endpoint: Endpoint) -> None:
    one, two = Process(), Process()
    due_at = opened(one, endpoint)
    two.board.refresh_if_due(due_at)
    one.board.refresh_if_due(due_at)
    probe = uuid4()
    for process in (one, two):
        assert process.board.hold(endpoint.pk, due_at) is None
        assert process.board.probe_is_due(endpoint.pk, due_at)

    assert one.board.claim_probe(endpoint.pk, probe, due_at)
    assert not two.board.claim_probe(endpoint.pk, uuid4(), due_at)

    for process in (one, two):
        assert not process.board.probe_is_due(endpoint.pk, due_at)
        hold = process.board.hold(endpoint.pk, due_at)
        assert hold
        assert (hold.kind, hold.until) == (ErrorKind.BREAKER_OPEN, due_at + timedelta(seconds=40))
    assert one.board.held == {}  # its transport may start the probe
    assert set(two.board.held) == {endpoint.pk}
    one.board.refresh_if_due(due_at + timedelta(seconds=1))
    assert one.board.held == {}

    assert one.results(endpoint, OK, probe=probe, at=due_at)
    two.board.refresh_if_due(due_at + timedelta(seconds=1))
    assert row(endpoint).state == BreakerState.CLOSED
    assert one.board.held == two.board.held == {}
    assert one.board.probe_of(endpoint.pk) is None


def test_breaker_waits_longer_when_the_probe_fails(worker: Process, endpoint: Endpoint) -> None:
    due_at = opened(worker, endpoint)
    probe = uuid4()
    assert worker.board.claim_probe(endpoint.pk, probe, due_at)

    worker.results(endpoint, DOWN, at=due_at)
    assert row(endpoint).state == BreakerState.HALF_OPEN
    worker.results(endpoint, DOWN, probe=probe, at=due_at)

    stored = row(endpoint)
    assert (stored.state, stored.openings) == (BreakerState.OPEN, 2)
    assert stored.next_probe_at
    assert stored.next_probe_at - due_at >= timedelta(seconds=20)
    assert endpoint.pk in worker.board.held


def test_next_delivery_may_probe_when_the_first_was_not_sent(worker: Process, endpoint: Endpoint) -> None:
    due_at = opened(worker, endpoint)
    probe = uuid4()
    assert worker.board.claim_probe(endpoint.pk, probe, due_at)

    assert worker.results(endpoint, CUT, probe=probe, at=due_at)

    assert worker.board.probe_is_due(endpoint.pk, due_at)
    assert worker.board.claim_probe(endpoint.pk, uuid4(), due_at)


def test_probe_is_claimed_anew_when_its_worker_died(endpoint: Endpoint) -> None:
    dead, two = Process(), Process()
    due_at = opened(dead, endpoint)
    lost = uuid4()
    assert dead.board.claim_probe(endpoint.pk, lost, due_at)
    later = due_at + timedelta(seconds=40)
    two.board.refresh_if_due(later)
    assert two.board.probe_is_due(endpoint.pk, later)
    again = uuid4()

    assert two.board.claim_probe(endpoint.pk, again, later)

    dead.board.refresh_if_due(later)
    dead.results(endpoint, OK, probe=lost, at=later)
    assert row(endpoint).probe_delivery_id == again
    assert set(dead.board.held) == {endpoint.pk}


def test_no_probe_goes_when_the_receivers_own_pause_lasts(worker: Process, endpoint: Endpoint) -> None:
    due_at = opened(worker, endpoint)
    worker.results(endpoint, BUSY, at=due_at)

    assert not worker.board.probe_is_due(endpoint.pk, due_at)
    assert not worker.board.claim_probe(endpoint.pk, uuid4(), due_at)
    assert worker.board.claim_probe(endpoint.pk, uuid4(), due_at + timedelta(seconds=120))


def test_rows_are_read_twice_a_second_at_most(worker: Process, endpoint: Endpoint) -> None:
    worker.board.refresh_if_due(NOW)
    Process().results(endpoint, BUSY)

    worker.board.refresh_if_due(after(0.4))
    assert worker.board.held == {}
    worker.board.refresh_if_due(after(0.5))
    assert set(worker.board.held) == {endpoint.pk}


def test_rows_are_read_when_the_clock_was_set_back(worker: Process, endpoint: Endpoint) -> None:
    worker.board.refresh_if_due(NOW)
    Process().results(endpoint, BUSY)

    worker.board.refresh_if_due(after(-3600))

    assert set(worker.board.held) == {endpoint.pk}


@pytest.fixture
def broken_database(transactional_db: None) -> Iterator[None]:
    """Every statement about breakers fails."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE delivery_breaker RENAME TO breaker_away")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE breaker_away RENAME TO delivery_breaker")


def test_last_knowledge_stays_until_its_time_is_over_when_the_database_is_away(
    broken_database: None, worker: Process, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    worker.board.apply({endpoint.pk: Health(hold_until=after(120)), endpoint.pk + 1: Health(state="open")}, NOW)

    worker.board.refresh_if_due(after(60))
    assert set(worker.board.held) == {endpoint.pk, endpoint.pk + 1}
    assert not worker.board.claim_probe(endpoint.pk, uuid4(), after(60))
    worker.board.refresh_if_due(after(121))

    assert set(worker.board.held) == {endpoint.pk + 1}
    assert "breaker.read_failed" in caplog.messages
    assert "breaker.claim_failed" in caplog.messages


@pytest.mark.django_db(transaction=True)
def test_exactly_one_wins_when_many_connections_race_for_one_probe(endpoint: Endpoint) -> None:
    due_at = opened(Process(), endpoint)
    start = threading.Barrier(6)
    won: list[UUID] = []

    def race() -> None:
        board, mine = Board(BreakerPolicy()), uuid4()
        board.refresh_if_due(due_at)
        start.wait(10)
        if board.claim_probe(endpoint.pk, mine, due_at):
            won.append(mine)
        connection.close()

    run_all([race] * 6)

    assert len(won) == 1
    assert row(endpoint).probe_delivery_id == won[0]


@pytest.mark.django_db(transaction=True)
def test_every_failure_is_counted_when_processes_write_the_same_endpoints_at_once() -> None:
    """Each names them in another order; first rows are made in the same moment."""
    endpoints = [EndpointFactory() for _ in range(4)]
    start = threading.Barrier(4)

    def work(turn: int) -> None:
        process = Process()
        start.wait(10)
        for _ in range(10):
            for endpoint in [*endpoints[turn:], *endpoints[:turn]]:
                process.tally.add(endpoint.pk, endpoint.tenant_id, uuid4(), DOWN)
                process.tally.add(endpoint.pk, endpoint.tenant_id, uuid4(), OK)
                process.tally.add(endpoint.pk, endpoint.tenant_id, uuid4(), OK)
            with transaction.atomic():
                process.tally.write(NOW)
            process.tally.settle(NOW)
        connection.close()

    run_all([partial(work, turn) for turn in range(4)])

    counts = set(Breaker.objects.values_list("state", "failed", "succeeded"))
    assert counts == {("closed", 40, 80)}


def run_all(jobs: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result(30)


def test_board_can_be_read_while_others_refresh_it(worker: Process) -> None:
    for number in range(50):
        worker.board.apply({number: Health(state="open")}, NOW)
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            for number in range(50):
                worker.board.apply({number: Health()}, NOW)
                worker.board.apply({number: Health(state="open")}, NOW)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(change)
        found = [worker.board.hold(number % 50, NOW) for number in range(5_000)]
        stop.set()
        done.result(10)

    assert {hold.kind for hold in found if hold} == {ErrorKind.BREAKER_OPEN}
    assert len(worker.board.held) == 50


# --- By hand ----------------------------------------------------------------------------------------------------------


def entries() -> list[tuple[str, str, str, dict[str, object]]]:
    return list(AuditEntry.objects.order_by("id").values_list("chain", "actor", "action", "details"))


def test_healthy_endpoint_is_held_until_closed_when_it_is_opened_by_hand(worker: Process, endpoint: Endpoint) -> None:
    assert breakers.open_by_hand(endpoint, EVA, "maintenance")
    assert not breakers.open_by_hand(endpoint, EVA, "again")

    worker.board.refresh_if_due(NOW)
    hold = worker.board.hold(endpoint.pk, after(1e6))
    assert hold
    assert (hold.reason, hold.until) == ("maintenance", None)
    assert not worker.board.claim_probe(endpoint.pk, uuid4(), after(1e6))
    assert breakers.close_by_hand(endpoint, EVA)
    assert not breakers.close_by_hand(endpoint, EVA)
    worker.board.refresh_if_due(after(1))
    assert worker.board.held == {}
    chain = endpoint.tenant.slug
    assert entries() == [
        (chain, "user:eva", "breaker.opened", {"from": "closed", "to": "open", "reason": "maintenance"}),
        (chain, "user:eva", "breaker.closed", {"from": "open", "to": "closed", "reason": "maintenance"}),
    ]
    assert AuditEntry.objects.latest("id").target == f"endpoint:{endpoint.pk}"


def test_probe_goes_at_once_when_somebody_asks_for_it(worker: Process, endpoint: Endpoint) -> None:
    opened(worker, endpoint, at=timezone.now())
    assert not worker.board.claim_probe(endpoint.pk, uuid4(), timezone.now())

    assert breakers.probe_now(endpoint, EVA)

    assert worker.board.claim_probe(endpoint.pk, uuid4(), timezone.now())
    assert not breakers.probe_now(endpoint, EVA)
    assert [action for _, _, action, _ in entries()] == ["breaker.probe_asked"]


def test_pause_ends_when_somebody_ends_it(worker: Process, endpoint: Endpoint) -> None:
    now = timezone.now()
    worker.results(endpoint, BUSY, at=now)

    assert breakers.end_hold(endpoint, EVA)
    assert not breakers.end_hold(endpoint, EVA)

    worker.board.refresh_if_due(now)
    assert worker.board.held == {}
    assert len(entries()) == 1


@pytest.mark.parametrize("change", [breakers.close_by_hand, breakers.probe_now, breakers.end_hold])
def test_nothing_is_done_or_told_when_there_is_nothing_to_change(
    endpoint: Endpoint, change: Callable[[Endpoint, Actor], bool]
) -> None:
    assert not change(endpoint, EVA)

    assert not Breaker.objects.exists()
    assert not AuditEntry.objects.exists()


def test_change_and_entry_go_together_when_the_transaction_fails(endpoint: Endpoint) -> None:
    with transaction.atomic():
        assert breakers.open_by_hand(endpoint, EVA, "maintenance")
        transaction.set_rollback(True)

    assert not Breaker.objects.exists()
    assert not AuditEntry.objects.exists()
