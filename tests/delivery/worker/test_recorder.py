from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from audit.models import AuditEntry
from delivery import store
from delivery.health.breakers import Board, HealthTally
from delivery.models import Attempt, Delivery, DeliveryCounter, Dispatch
from delivery.outcome import Outcome, OutcomeKind
from delivery.states import DeliveryStatus
from delivery.store import Claimed
from delivery.worker.held import UNRECORDED_MOST, Batch, Held
from delivery.worker.recorder import GROUP_MOST, NOT_STORABLE, Recorder
from eventcenter.models import Heartbeat
from subscriptions.models import Endpoint, EndpointState
from subscriptions.retry_policy import DEFAULT_POLICY
from tests.delivery.refusing import refusing
from tests.delivery.worker.desk import Desk, Make, dispatch, ended, stuck, sweep_takes
from tests.fakes.receiver import Answer, Raw, Receiver
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

SERVER_LEAVES = "57P03"  # cannot_connect_now: an OperationalError, as when PostgreSQL is away for a moment
DELIVERED = Outcome(OutcomeKind.DELIVERED, 204)


@pytest.fixture
def recorder(transactional_db: None, empty_queues: None) -> Iterator[Recorder]:
    made = Recorder(HealthTally(Board()), role="test-worker")
    yield made
    made.stop(5)


def other_backends(condition: str = "true") -> list[int]:
    """Process ids of this database's other connections, for which the SQL condition over pg_stat_activity holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
            f" AND pid <> pg_backend_pid() AND {condition}"
        )
        return [row[0] for row in cursor.fetchall()]


def terminate(pids: list[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [pids])


@contextmanager
def locked(table: str) -> Iterator[None]:
    """Nobody else can touch the table meanwhile."""
    with psycopg.connect(dsn()) as other:
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def dsn() -> str:
    known = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return psycopg.conninfo.make_conninfo(**{name: known[name] for name in names if known.get(name)})


# --- The database is away ---


def test_result_is_recorded_when_the_idle_connection_was_killed(desk: Desk, make: Make, receiver: Receiver) -> None:
    desk.deliver(make())
    killed = other_backends()
    assert killed
    terminate(killed)
    delivery = make()
    desk.deliver(delivery)
    assert (delivery.state, delivery.attempts) == (DeliveryStatus.DELIVERED, 1)
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("status", [204, 500], ids=["delivered", "failed"])
def test_result_is_recorded_once_when_the_connection_is_killed_in_the_statement(
    desk: Desk, make: Make, receiver: Receiver, status: int
) -> None:
    receiver.script("/hook", Answer(status))
    delivery = make()
    hint = dispatch([delivery])
    with locked("delivery_attempt"):
        desk.run(hint)
        waiting = eventually(lambda: other_backends("wait_event_type = 'Lock'"), every_s=0.01)
        terminate(waiting)
        again = eventually(lambda: set(other_backends("wait_event_type = 'Lock'")) - set(waiting), every_s=0.01)
        assert again
        assert not Dispatch.objects.exclude(pk=hint.dispatch_id).exists()
    ended(hint)
    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.last_status_code) == (1, status)
    assert Attempt.objects.count() == 1
    assert DeliveryCounter.objects.get().attempts == 1
    assert Dispatch.objects.count() == (1 if status == 500 else 0)
    assert len(receiver.requests) == 1


def test_nothing_is_half_done_when_the_database_leaves_while_an_endpoint_is_disabled(
    desk: Desk, make: Make, receiver: Receiver
) -> None:
    gate = threading.Event()
    receiver.script("/gone", Answer(410))
    receiver.script("/slow", Answer(204, gate=gate))
    gone, quick, slow = make("/gone"), make("/quick"), make("/slow")
    hint = dispatch([gone, quick, slow])
    with refusing("audit_auditentry", sqlstate=SERVER_LEAVES) as refusals:
        desk.run(hint)
        eventually(lambda: refusals() >= 2, every_s=0.01)
        gone.refresh_from_db()
        assert gone.state is DeliveryStatus.PENDING
        assert not Endpoint.objects.filter(state=EndpointState.DISABLED).exists()
    eventually(lambda: Endpoint.objects.filter(state=EndpointState.DISABLED).exists(), every_s=0.01)
    assert Dispatch.objects.filter(pk=hint.dispatch_id).exists(), "one of its deliveries is still under way"
    gate.set()
    ended(hint)
    states = {row.pk: row.state for row in Delivery.objects.all()}
    assert states == {
        gone.pk: DeliveryStatus.DEAD,
        quick.pk: DeliveryStatus.DELIVERED,
        slow.pk: DeliveryStatus.DELIVERED,
    }
    assert sorted(AuditEntry.objects.values_list("action", flat=True)) == ["alert.raised", "endpoint.disabled"]
    assert Attempt.objects.count() == 3


def test_nothing_new_is_started_when_too_much_waits_to_be_recorded(desk: Desk, make: Make, receiver: Receiver) -> None:
    first = make()
    deliveries = [first, *[make(subscription=first.subscription) for _ in range(UNRECORDED_MOST + 150)]]
    hint = dispatch(deliveries)
    with refusing("delivery_delivery", "NEW.status = 'delivered'", SERVER_LEAVES):
        desk.run(hint)
        eventually(lambda: not desk.recorder.has_room(), every_s=0.01)
        assert not Attempt.objects.exists()
    ended(hint, timeout=30)
    assert set(Delivery.objects.values_list("status", "attempts")) == {("delivered", 1)}
    assert len(receiver.requests) == len(deliveries)


# --- The database refuses a result ---


HOSTILE_HEADERS = [("X-Evil", "\\u0000"), ("X-Quote", '"\\'), ("X-Latin", "caf\xe9"), ("X-Odd", "\\ud800")]


def test_other_tenants_results_are_recorded_when_a_receiver_answers_with_hostile_headers(
    desk: Desk, make: Make, receiver: Receiver
) -> None:
    receiver.script("/evil", Answer(200, HOSTILE_HEADERS, b"a\0b\xff"))
    evil, good = make("/evil"), make("/good")
    desk.deliver(evil, good)
    assert [evil.state, good.state] == [DeliveryStatus.DELIVERED] * 2
    attempt = Attempt.objects.get(delivery=evil)
    for name, value in HOSTILE_HEADERS:
        assert [name, value] in attempt.response_headers
    assert bytes(attempt.response_body) == b"a\0b\xff"


def test_result_is_recorded_when_a_header_holds_a_nul(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/evil", Raw(b"HTTP/1.1 200 OK\r\nX-Evil: a\0b\r\nContent-Length: 0\r\n\r\n"))
    evil, good = make("/evil"), make("/good")
    desk.deliver(evil, good)
    assert good.state is DeliveryStatus.DELIVERED
    assert evil.attempts == 1
    assert not stuck()


def test_nul_is_left_out_when_texts_hold_one(recorder: Recorder, make: Make) -> None:
    delivery = make()
    hint = dispatch([delivery])
    batch, held = hold(recorder, hint.dispatch_id, hint.token)
    outcome = Outcome(OutcomeKind.FAILED, error="a\0b", response_headers=(("x\0y", "c\0d"),), response_body=b"\0")
    recorder.put(held[0], outcome)
    ended(hint)
    attempt = Attempt.objects.get()
    assert (attempt.error, attempt.response_headers, bytes(attempt.response_body)) == ("ab", [["xy", "cd"]], b"\0")
    assert batch.remaining == 0


@pytest.mark.parametrize("sqlstate", ["22000", "23000", "XX000"], ids=["data", "integrity", "internal"])
def test_result_is_recorded_without_its_answer_when_the_answer_is_refused(
    desk: Desk, make: Make, receiver: Receiver, sqlstate: str
) -> None:
    receiver.script("/odd", Answer(500, body=b"poison"))
    odd, good = make("/odd", policy={"schedule_s": [0]}), make("/good")
    with refusing("delivery_attempt", "NEW.response_body = 'poison'", sqlstate):
        desk.deliver(odd, good)
    assert good.state is DeliveryStatus.DELIVERED
    assert (odd.state, odd.attempts, odd.last_status_code) == (DeliveryStatus.DEAD, 1, 500)
    attempt = Attempt.objects.get(delivery=odd)
    assert (attempt.error, bytes(attempt.response_body), attempt.status_code) == (NOT_STORABLE, b"", 500)


def test_others_are_recorded_and_the_lease_runs_out_when_a_result_is_refused_for_good(
    desk: Desk, make: Make, receiver: Receiver
) -> None:
    receiver.script("/odd", Answer(418), Answer(204))
    odd, good = make("/odd"), make("/good")
    hint = dispatch([odd, good])
    with refusing("delivery_attempt", "NEW.status_code = 418"):
        desk.run(hint)
        eventually(lambda: Attempt.objects.filter(delivery=good).exists(), every_s=0.01)
        left_at = timezone.now()
        Dispatch.objects.update(lease_until=left_at)
        eventually(lambda: Heartbeat.objects.filter(role="test-worker", seen_at__gt=left_at).exists(), every_s=0.01)
        # One more round of the recorder, so that a renewal after that heartbeat would be seen.
        desk.deliver(make("/third"))
    assert Dispatch.objects.get().lease_until == left_at
    assert desk.run(sweep_takes(hint.dispatch_id)) == 1
    ended(hint)
    odd.refresh_from_db()
    assert odd.state is DeliveryStatus.DELIVERED
    assert not stuck()


# --- Leases ---


def hold(recorder: Recorder, dispatch_id: int, token: int) -> tuple[Batch, list[Held]]:
    """Claims a dispatch as a runner does, without sending anything."""
    claimed = store.claim(dispatch_id, token, "test", 25)
    assert isinstance(claimed, Claimed)
    loaded = store.load(claimed)
    batch = Batch(dispatch_id, token + 1, len(loaded))
    recorder.track(batch)
    return batch, [Held(batch, item, DEFAULT_POLICY) for item in loaded]


def test_lease_is_renewed_when_the_answer_takes_long(desk: Desk, make: Make, receiver: Receiver) -> None:
    gate = threading.Event()
    receiver.script("/hook", Answer(204, gate=gate))
    hint = dispatch([make()])
    desk.run(hint)
    Dispatch.objects.update(lease_until=timezone.now() + timedelta(seconds=3))
    eventually(
        lambda: Dispatch.objects.get().lease_until > timezone.now() + timedelta(seconds=10), timeout=10, every_s=0.01
    )
    gate.set()
    ended(hint)


def test_result_of_the_newer_holder_stands_when_the_older_comes_later(
    new_desk: Callable[[], Desk], make: Make, receiver: Receiver
) -> None:
    gate = threading.Event()
    receiver.script("/hook", Answer(500, gate=gate), Answer(204))
    delivery = make()
    hint = dispatch([delivery])
    older, newer = new_desk(), new_desk()
    older.run(hint)
    receiver.wait_for(1)
    newer.run(sweep_takes(hint.dispatch_id))
    ended(hint)
    gate.set()
    older.close()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.last_status_code) == (DeliveryStatus.DELIVERED, 1, 204)
    assert Attempt.objects.get().status_code == 204
    assert not Dispatch.objects.exists(), "the older one made no retry"
    assert DeliveryCounter.objects.get().failed == 0


def test_result_of_the_newer_holder_stands_when_the_older_comes_first(
    new_desk: Callable[[], Desk], make: Make, receiver: Receiver
) -> None:
    first_gate, second_gate = threading.Event(), threading.Event()
    receiver.script("/hook", Answer(410, gate=first_gate), Answer(204, gate=second_gate))
    delivery = make()
    hint = dispatch([delivery])
    older, newer = new_desk(), new_desk()
    older.run(hint)
    receiver.wait_for(1)
    newer.run(sweep_takes(hint.dispatch_id))
    receiver.wait_for(2)
    first_gate.set()
    older.close()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (DeliveryStatus.PENDING, 0)
    assert Endpoint.objects.get().state == EndpointState.ENABLED
    assert Dispatch.objects.get().token == 3
    second_gate.set()
    ended(hint)
    delivery.refresh_from_db()
    assert delivery.state is DeliveryStatus.DELIVERED


def test_dispatch_lives_until_its_last_result_when_one_process_holds_it_twice(recorder: Recorder, make: Make) -> None:
    """After a long absence of the database: the sweep was faster than the recorder's renewal."""
    hint = dispatch([make(), make()])
    _, old = hold(recorder, hint.dispatch_id, hint.token)
    _, new = hold(recorder, hint.dispatch_id, sweep_takes(hint.dispatch_id).token)
    recorder.put(old[0], DELIVERED)
    recorder.put(new[0], DELIVERED)
    eventually(lambda: Attempt.objects.filter(delivery=new[0].loaded.id).exists(), every_s=0.01)
    assert Dispatch.objects.filter(pk=hint.dispatch_id).exists()
    assert not stuck()
    recorder.put(old[1], DELIVERED)
    recorder.put(new[1], DELIVERED)
    ended(hint)
    assert set(Delivery.objects.values_list("status", "attempts")) == {("delivered", 1)}


def test_result_has_no_effect_when_the_delivery_was_cancelled_meanwhile(recorder: Recorder, make: Make) -> None:
    delivery = make()
    hint = dispatch([delivery])
    _, held = hold(recorder, hint.dispatch_id, hint.token)
    assert delivery.move(DeliveryStatus.CANCELLED)
    recorder.put(held[0], Outcome(OutcomeKind.FAILED, 500))
    ended(hint)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (DeliveryStatus.CANCELLED, 0)
    assert not Attempt.objects.exists()
    assert not Dispatch.objects.exists(), "no retry of a cancelled delivery"


# --- Groups ---


def test_all_is_written_when_the_recorder_stops(recorder: Recorder, make: Make) -> None:
    first = make()
    deliveries = [first, *[make(subscription=first.subscription) for _ in range(2 * GROUP_MOST)]]
    hint = dispatch(deliveries)
    _, held = hold(recorder, hint.dispatch_id, hint.token)
    for item in held:
        recorder.put(item, DELIVERED)
    recorder.stop(30)
    assert set(Delivery.objects.values_list("status", "attempts")) == {("delivered", 1)}
    assert Attempt.objects.count() == len(deliveries)
    assert not Dispatch.objects.exists()


def test_near_retries_share_a_dispatch_when_they_fall_into_one_second(recorder: Recorder, make: Make) -> None:
    first = make()
    hint = dispatch([first, *[make(subscription=first.subscription) for _ in range(9)]])
    _, held = hold(recorder, hint.dispatch_id, hint.token)
    for item in held:
        recorder.put(item, Outcome(OutcomeKind.FAILED, 500))
    ended(hint)
    retries = list(Dispatch.objects.all())
    covered = sorted(delivery for row in retries for delivery in row.delivery_ids)
    assert covered == sorted(item.loaded.id for item in held)
    assert len(retries) <= 2  # jitter of a fifth spreads 5 s over one second, which may hold two whole ones
    for row in retries:
        assert row.not_before == max(d.next_attempt_at for d in Delivery.objects.filter(pk__in=row.delivery_ids))
    assert not stuck()


def test_heartbeat_is_seen_when_there_is_nothing_to_do(recorder: Recorder) -> None:
    assert eventually(lambda: Heartbeat.objects.filter(role="test-worker").first(), every_s=0.01)
