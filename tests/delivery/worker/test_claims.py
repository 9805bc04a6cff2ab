"""Who may send a dispatch, and what of it, when hints come late, twice or after a worker's death."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from delivery.models import Attempt, Delivery, DeliveryCounter, Dispatch
from delivery.states import DeliveryStatus
from subscriptions.models import EndpointState
from tests.delivery.worker.desk import Desk, Make, dispatch, ended, stuck, sweep_takes
from tests.fakes.receiver import Answer, Receiver
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("token", [-1, 1, 7])
def test_nothing_is_claimed_or_sent_when_the_token_is_wrong(
    desk: Desk, make: Make, receiver: Receiver, token: int
) -> None:
    hint = dispatch([make()])
    before = Dispatch.objects.get()
    assert desk.runner.run(hint.dispatch_id, token) == 0
    after = Dispatch.objects.get()
    assert (after.token, after.claimed_by, after.lease_until) == (0, "", before.lease_until)
    desk.close()
    assert receiver.connections == 0
    assert not Attempt.objects.exists()


def test_nothing_is_sent_when_the_dispatch_is_gone(desk: Desk, receiver: Receiver) -> None:
    assert desk.runner.run(2**40, 0) == 0
    desk.close()
    assert receiver.connections == 0


def test_one_request_is_made_when_the_hint_comes_twice(desk: Desk, make: Make, receiver: Receiver) -> None:
    gate = threading.Event()
    receiver.script("/hook", Answer(204, gate=gate))
    hint = dispatch([make()])
    assert [desk.run(hint), desk.run(hint)] == [1, 0]
    receiver.wait_for(1)
    assert desk.run(hint) == 0
    gate.set()
    ended(hint)
    assert desk.run(hint) == 0
    assert len(receiver.requests) == 1
    assert Attempt.objects.count() == 1


def test_one_of_many_wins_when_workers_claim_at_once(
    new_desk: Callable[[], Desk], make: Make, receiver: Receiver
) -> None:
    hint = dispatch([make(), make()])
    desks = [new_desk() for _ in range(4)]
    together = threading.Barrier(4)
    taken: list[int] = []

    def claim(desk: Desk) -> None:
        together.wait()
        taken.append(desk.run(hint))
        connection.close()

    threads = [threading.Thread(target=claim, args=(desk,)) for desk in desks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended(hint)
    assert sorted(taken) == [0, 0, 0, 2]
    assert len(receiver.requests) == 2


def test_dispatch_ends_when_all_its_deliveries_have_ended(desk: Desk, make: Make, receiver: Receiver) -> None:
    hint = dispatch([make(delivered=True), make(dead=True), make(status=DeliveryStatus.CANCELLED)])
    assert desk.run(hint) == 0
    ended(hint)
    assert receiver.connections == 0
    assert not Attempt.objects.exists()


def test_only_the_open_ones_are_sent_when_a_dispatch_is_run_again(
    new_desk: Callable[[], Desk], make: Make, receiver: Receiver
) -> None:
    """A worker dies with one answer recorded and one under way."""
    gate = threading.Event()
    receiver.script("/slow", Answer(204, gate=gate), Answer(204))
    quick, slow = make("/quick"), make("/slow")
    hint = dispatch([quick, slow])
    first = new_desk()
    first.run(hint)
    receiver.wait_for(2)
    eventually(lambda: Attempt.objects.filter(delivery=quick).exists(), every_s=0.01)
    again = sweep_takes(hint.dispatch_id)
    assert new_desk().run(again) == 1
    ended(hint)
    gate.set()
    first.close()
    assert (len(receiver.requests_to("/quick")), len(receiver.requests_to("/slow"))) == (1, 2)
    assert list(Delivery.objects.values_list("status", "attempts")) == [("delivered", 1)] * 2
    assert Attempt.objects.count() == 2


@pytest.mark.parametrize("schedule", [[0, 20], [0, 1800]], ids=["near-retry", "far-retry"])
def test_schedule_is_kept_when_a_dispatch_with_a_failed_one_is_run_again(
    new_desk: Callable[[], Desk], make: Make, receiver: Receiver, schedule: list[int]
) -> None:
    """The failed one waits for its retry, in a dispatch of its own or for the sweep: the old dispatch has lost it."""
    gate = threading.Event()
    receiver.script("/slow", Answer(204, gate=gate), Answer(204))
    receiver.script("/failing", Answer(500))
    failing, slow = make("/failing", policy={"schedule_s": schedule}), make("/slow")
    hint = dispatch([failing, slow])
    first = new_desk()
    first.run(hint)
    receiver.wait_for(2)
    eventually(lambda: Attempt.objects.filter(delivery=failing).exists(), every_s=0.01)
    again = sweep_takes(hint.dispatch_id)
    assert new_desk().run(again) == 1
    ended(hint)
    gate.set()
    first.close()
    assert len(receiver.requests_to("/failing")) == 1
    assert Delivery.objects.get(pk=failing.pk).attempts == 1
    assert Delivery.objects.get(pk=slow.pk).state is DeliveryStatus.DELIVERED
    assert not stuck()


def test_schedule_is_kept_when_a_dispatch_with_a_held_one_is_run_again(
    new_desk: Callable[[], Desk], make: Make, receiver: Receiver
) -> None:
    gate = threading.Event()
    receiver.script("/slow", Answer(204, gate=gate), Answer(204))
    held, slow = make("/held", endpoint__state=EndpointState.PAUSED), make("/slow")
    hint = dispatch([held, slow])
    first = new_desk()
    first.run(hint)
    eventually(lambda: Delivery.objects.get(pk=held.pk).held_reason, every_s=0.01)
    due_at = Delivery.objects.get(pk=held.pk).due_at
    assert new_desk().run(sweep_takes(hint.dispatch_id)) == 1
    ended(hint)
    gate.set()
    first.close()
    assert Delivery.objects.get(pk=held.pk).due_at == due_at
    assert DeliveryCounter.objects.get(endpoint_id=held.endpoint_id).deferred == 1


def test_retry_is_made_when_its_hint_was_lost(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/hook", Answer(500), Answer(204))
    delivery = make()
    desk.deliver(delivery)
    assert desk.run(sweep_takes(Dispatch.objects.get().pk)) == 1
    eventually(lambda: Delivery.objects.get().state is DeliveryStatus.DELIVERED, every_s=0.01)
    assert len(receiver.requests) == 2


def test_deliveries_of_two_days_go_out_when_one_dispatch_holds_them(desk: Desk, make: Make, receiver: Receiver) -> None:
    yesterday = timezone.now() - timedelta(days=1, hours=1)
    old = make("/old", accepted_at=yesterday)
    new = make("/new", accepted_at=timezone.now() + timedelta(hours=1))
    desk.deliver(old, new)
    assert [old.state, new.state] == [DeliveryStatus.DELIVERED] * 2


def test_deliveries_are_recorded_when_the_worker_stops_in_the_middle(
    desk: Desk, make: Make, receiver: Receiver
) -> None:
    gate = threading.Event()
    receiver.script("/hook", Answer(204, gate=gate))
    first = make()
    deliveries = [first, *[make(subscription=first.subscription) for _ in range(20)]]
    desk.run(dispatch(deliveries))
    receiver.wait_for(1)
    closing = threading.Thread(target=desk.close)
    closing.start()
    gate.set()
    closing.join()
    sent: set[UUID] = {UUID(request.header("webhook-id")) for request in receiver.requests}
    by_status = dict(Delivery.objects.values_list("id", "status"))
    assert {key for key, status in by_status.items() if status == "delivered"} == sent
    # What was not started is another worker's at once, with no attempt spent.
    held = Delivery.objects.exclude(pk__in=sent)
    assert all((row.status, row.attempts, row.held_reason) == ("pending", 0, "") for row in held)
    assert {one for row in Dispatch.objects.all() for one in row.delivery_ids} == {row.pk for row in held}
    assert all(row.claimed_by == "" for row in Dispatch.objects.all())
    assert not stuck()
