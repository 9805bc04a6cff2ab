"""Cancel of open deliveries, and what it meets: a worker that records, the sweep, a line, a replay."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.models import AuditEntry
from audit.trail import Actor
from delivery import cancelling, store
from delivery.cancelling import cancel, take
from delivery.health.breakers import Board
from delivery.limiting.limits import Limiter
from delivery.models import Attempt, Delivery, Dispatch, OrderedDelivery
from delivery.release import Releaser
from delivery.replay import replay
from delivery.states import DeliveryStatus
from delivery.store import Claimed
from delivery.sweep import Sweeper
from tests.delivery.conftest import HintsIn
from tests.delivery.order.lines import die, end, in_line, ordered_subscription, parked, plan
from tests.delivery.worker.desk import Desk, Make, dispatch, ended, stuck
from tests.factories import DeliveryFactory
from tests.fakes.receiver import Answer, Receiver
from tests.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queues")]
ACTOR = Actor("user:eva", "192.0.2.1")
ROUNDS = 20


# --- One ---


@pytest.mark.parametrize("state", [{}, {"retrying": True}, {"held_reason": "breaker_open", "due_at": timezone.now()}])
def test_open_delivery_ends_and_nobody_will_send_it(state: dict[str, object]) -> None:
    delivery = DeliveryFactory(**state)
    before = timezone.now()
    assert cancel(delivery.pk, ACTOR)
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.CANCELLED
    assert delivery.cancelled_at
    assert delivery.cancelled_at == delivery.finished_at >= before
    assert (delivery.next_attempt_at, delivery.due_at, delivery.held_reason, delivery.dead_at) == (None, None, "", None)
    assert store.load(Claimed([delivery.pk], timezone.now() + timedelta(days=9))) == []
    entry = AuditEntry.objects.get()
    assert (entry.chain, entry.actor, entry.action) == (delivery.tenant.slug, "user:eva", "delivery.cancelled")
    assert entry.target == f"delivery:{delivery.pk}"
    assert entry.details == {"from": "retrying" if "retrying" in state else "pending", "attempts": delivery.attempts}


@pytest.mark.parametrize("state", [{"dead": True}, {"delivered": True}, {"status": "cancelled"}])
def test_ended_delivery_stays_as_it_is_and_its_end_is_told(state: dict[str, object]) -> None:
    delivery = DeliveryFactory(**state)
    result = cancel(delivery.pk, ACTOR)
    assert not result
    assert result.refusal == f"It is no longer open: it is {delivery.status} already."
    assert Delivery.objects.get().cancelled_at is None
    assert not AuditEntry.objects.exists()


def test_unknown_delivery_is_refused_in_words() -> None:
    assert "no such delivery" in cancel(uuid4(), ACTOR).refusal


def test_replay_after_a_cancel_begins_a_round_without_a_trace_of_it() -> None:
    delivery = DeliveryFactory()
    assert cancel(delivery.pk, ACTOR)
    assert replay(delivery.pk, ACTOR)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.cancelled_at, delivery.finished_at) == ("pending", None, None)


# --- A worker ---


def test_worker_that_is_sending_it_does_not_bring_it_back(desk: Desk, make: Make, receiver: Receiver) -> None:
    gate = threading.Event()
    receiver.script("/hook", Answer(503, gate=gate))
    delivery, other = make(), make("/other")
    hint = dispatch([delivery, other])
    desk.run(hint)
    receiver.wait_for(2)
    assert cancel(delivery.pk, ACTOR)
    gate.set()
    ended(hint)
    assert Delivery.objects.get(pk=delivery.pk).state is DeliveryStatus.CANCELLED
    assert Delivery.objects.get(pk=other.pk).state is DeliveryStatus.DELIVERED
    assert list(Attempt.objects.values_list("delivery_id", flat=True)) == [other.pk]
    assert not Dispatch.objects.exists(), "no retry is made of it"


def test_dispatch_that_names_it_sends_the_others_alone(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery, other = make(), make("/other")
    hint = dispatch([delivery, other])
    assert cancel(delivery.pk, ACTOR)
    desk.run(hint)
    ended(hint)
    assert [request.path for request in receiver.requests] == ["/other"]


def test_end_that_a_worker_is_recording_is_waited_for_and_told() -> None:
    delivery = DeliveryFactory()
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Delivery.objects.filter(pk=delivery.pk).update(status="delivered", finished_at=timezone.now())
            pressing = pool.submit(closing(partial(cancel, delivery.pk, ACTOR)))
            eventually(somebody_waits)
        assert "it is delivered already" in pressing.result(30).refusal  # type: ignore[attr-defined]
    assert Delivery.objects.get().cancelled_at is None


def test_many_are_taken_but_for_the_one_that_a_worker_has_in_hand() -> None:
    rows = [DeliveryFactory() for _ in range(3)]
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        Delivery.objects.select_for_update().get(pk=rows[1].pk)
        taken = pool.submit(closing(partial(taking, rows))).result(30)
    assert taken.cancelled == {rows[0].pk, rows[2].pk}  # type: ignore[attr-defined]
    assert taken.left == {rows[1].pk}  # type: ignore[attr-defined]


# --- The sweep and the release ---


def test_sweep_does_not_take_what_was_cancelled(hints_in: HintsIn) -> None:
    past = timezone.now() - timedelta(seconds=1)
    due, held = DeliveryFactory(retrying=True, due_at=past), DeliveryFactory(held_reason="rate_limit", due_at=past)
    for row in (due, held):
        assert cancel(row.pk, ACTOR)
    assert Sweeper().sweep(timezone.now()).due == 0
    assert store.held_endpoints() == []
    assert not Dispatch.objects.exists()
    assert hints_in("retry") == []


@pytest.mark.parametrize("held", [True, False])
def test_one_of_cancel_and_sweep_wins_when_both_want_it_at_once(held: bool, settings: object) -> None:
    sweeper, releaser = Sweeper(), Releaser(Board(), Limiter(settings.REDIS_URL))  # type: ignore[attr-defined]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(ROUNDS):
            past = timezone.now() - timedelta(seconds=1)
            delivery = DeliveryFactory(due_at=past, held_reason="rate_limit" if held else "")
            meet = threading.Barrier(2)
            pass_of_sweep = releaser.step if held else sweeper.sweep
            sweeping = pool.submit(closing(lambda meet=meet, step=pass_of_sweep: (meet.wait(30), step(timezone.now()))))  # type: ignore[misc]
            pressing = pool.submit(closing(lambda meet=meet, row=delivery: (meet.wait(30), cancel(row.pk, ACTOR))))  # type: ignore[misc]
            sweeping.result(30)
            assert pressing.result(30)[1], "the sweep ends nothing, so the cancel wins in either order"  # type: ignore[index]
            delivery.refresh_from_db()
            assert (delivery.status, delivery.due_at, delivery.held_reason) == ("cancelled", None, "")
            named = [item for row in Dispatch.objects.all() for item in row.delivery_ids]
            assert store.load(Claimed(named, timezone.now())) == []


# --- Lines ---


def test_next_of_the_key_goes_when_the_head_is_cancelled(hints_in: HintsIn) -> None:
    head, following, last = plan(ordered_subscription(), "a", "a", "a")
    assert cancel(head.pk, ACTOR)
    made = Dispatch.objects.get()
    assert made.delivery_ids == [following.pk]
    assert hints_in("retry") == [[made.pk, 0]]
    assert in_line() == [following.pk, last.pk]
    assert parked() == {last.pk}


def test_line_closes_up_when_one_that_waits_is_cancelled() -> None:
    head, waiting, last = plan(ordered_subscription(), "a", "a", "a")
    assert cancel(waiting.pk, ACTOR)
    assert not Dispatch.objects.exists()
    assert in_line() == [head.pk, last.pk]
    assert end(head) == [last.pk]


def test_dead_head_still_blocks_when_those_behind_it_are_cancelled() -> None:
    head, *rest = plan(ordered_subscription(), "a", "a", "a")
    assert die(head) == []
    taken = taking(rest[:1])
    assert taken.hints == []
    assert (in_line(), parked()) == ([head.pk, rest[1].pk], {rest[1].pk})


def test_lines_of_many_go_on_with_the_first_that_is_left() -> None:
    subscription = ordered_subscription()
    rows = plan(subscription, "a", "b", "a", "b", "a", "c")
    taken = taking([rows[0], rows[1], rows[2]])
    assert len(taken.cancelled) == 3
    assert set(Dispatch.objects.get().delivery_ids) == {rows[3].pk, rows[4].pk}
    assert set(in_line()) == {rows[3].pk, rows[4].pk, rows[5].pk}


def test_each_that_is_left_is_sent_off_once_when_a_cancel_and_a_worker_end_neighbours() -> None:
    """The worker ends the head while somebody cancels the next: the third goes, whoever comes first."""
    subscription = ordered_subscription()
    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            head, second, third = plan(subscription, *[f"key {number}"] * 3)
            meet = threading.Barrier(2)
            ending = pool.submit(closing(lambda meet=meet, row=head: (meet.wait(30), end(row))[1]))  # type: ignore[misc]
            pressing = pool.submit(closing(lambda meet=meet, row=second: (meet.wait(30), cancel(row.pk, ACTOR))[1]))  # type: ignore[misc]
            went = ending.result(30)
            assert pressing.result(30)
            sent = [*went, *(item for row in Dispatch.objects.all() for item in row.delivery_ids)]  # type: ignore[misc]
            assert sent in ([third.pk], [second.pk, third.pk])
            Dispatch.objects.all().delete()
            OrderedDelivery.objects.filter(delivery_id=third.pk).delete()
            Delivery.objects.filter(pk=third.pk).update(status="delivered")
    assert in_line() == []
    assert stuck() == []


def test_cancel_and_replay_of_one_line_both_end_when_they_come_at_once() -> None:
    subscription = ordered_subscription()
    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            dead, open_ = plan(subscription, *[f"key {number}"] * 2)
            die(dead)
            meet = threading.Barrier(2)
            again = pool.submit(closing(lambda meet=meet, row=dead: (meet.wait(30), replay(row.pk, ACTOR))[1]))  # type: ignore[misc]
            pressing = pool.submit(closing(lambda meet=meet, row=open_: (meet.wait(30), cancel(row.pk, ACTOR))[1]))  # type: ignore[misc]
            assert again.result(30)
            assert pressing.result(30)
            assert Dispatch.objects.get().delivery_ids == [dead.pk]
            Dispatch.objects.all().delete()
            assert in_line() == [dead.pk]
            end(dead)


def taking(rows: list[Delivery]) -> cancelling.Taken:
    with transaction.atomic():
        return take([row.pk for row in rows], timezone.now())


def closing(work: Callable[[], object]) -> Callable[[], object]:
    """On another thread, whose connection ends with it."""

    def run() -> object:
        try:
            return work()
        finally:
            connection.close()

    return run


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        row = cursor.fetchone()
    return bool(row and row[0])
