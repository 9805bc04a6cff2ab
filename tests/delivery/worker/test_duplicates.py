"""What counts as a known duplicate: what the receiver may have had twice, once each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from delivery import store
from delivery.health.breakers import Board, HealthTally
from delivery.models import Attempt, Delivery, DeliveryCounter, Dispatch, DuplicateSend
from delivery.outcome import ErrorKind, Outcome, OutcomeKind, deferred
from delivery.states import DeliveryStatus
from delivery.store import Hint
from delivery.worker.held import UNRECORDED_MOST, Batch, Held, Lost
from delivery.worker.recorder import Recorder
from subscriptions.retry_policy import DEFAULT_POLICY
from tests.delivery.refusing import refusing
from tests.delivery.worker.desk import Desk, Make, dispatch, ended, sweep_takes
from tests.fakes.receiver import Answer, Receiver
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def recorder(transactional_db: None, empty_queues: None) -> Iterator[Recorder]:
    made = Recorder(HealthTally(Board()), role="test-worker")
    yield made
    made.stop(5)


def hold(hint: Hint) -> list[Held]:
    """Claims a dispatch as a runner does, without sending anything."""
    claimed = store.claim(hint.dispatch_id, hint.token, "test", 25)
    assert claimed is not None
    loaded = store.load(claimed)
    lost = [Lost(*each) for each in zip(claimed.lost_tokens, claimed.lost_workers, strict=True)]
    batch = Batch(hint.dispatch_id, hint.token + 1, len(loaded), lost)
    return [Held(batch, item, DEFAULT_POLICY) for item in loaded]


def sent(kind: OutcomeKind = OutcomeKind.DELIVERED, error: ErrorKind = ErrorKind.NONE) -> Outcome:
    return Outcome(kind, 204 if kind is OutcomeKind.DELIVERED else None, error, started_at=time.time())


def causes() -> list[str]:
    """Of all known duplicates; that the counters say as many is asserted on the way."""
    found = list(DuplicateSend.objects.order_by("at").values_list("cause", flat=True))
    assert sum(DeliveryCounter.objects.values_list("duplicates", flat=True)) == len(found)
    return found


def recorded(recorder: Recorder, held: Held, outcome: Outcome) -> None:
    """And all that follows: the recorder has written a later result, too."""
    recorder.put(held, outcome)
    recorder.stop(10)


# --- resent ---


def test_resent_is_counted_once_for_each_that_was_not_recorded_when_a_dispatch_is_taken_over(
    new_desk: Callable[[], Desk], make: Make, receiver: Receiver
) -> None:
    """The first worker recorded one of two; the other one reached the receiver, which answers when all is over."""
    gate = threading.Event()
    receiver.script("/slow", Answer(204, gate=gate), Answer(204))
    quick, slow = make("/quick"), make("/slow")
    hint = dispatch([quick, slow])
    older, newer = new_desk(), new_desk()
    older.run(hint)
    eventually(lambda: Attempt.objects.filter(delivery=quick).exists(), every_s=0.01)
    receiver.wait_for(2)
    newer.run(sweep_takes(hint.dispatch_id))
    ended(hint)
    assert causes() == ["resent"]
    gate.set()
    older.close()
    assert causes() == ["resent"], "the late result is of the same send"
    assert DuplicateSend.objects.get().delivery_id == slow.pk
    assert DuplicateSend.objects.get().token == 1
    assert len(receiver.requests) == 3


def test_each_lost_holder_counts_when_a_dispatch_is_taken_over_twice(recorder: Recorder, make: Make) -> None:
    hint = dispatch([make()])
    hold(hint)
    hold(sweep_takes(hint.dispatch_id))
    third = hold(sweep_takes(hint.dispatch_id))
    recorded(recorder, third[0], sent())
    assert causes() == ["resent", "resent"]
    assert set(DuplicateSend.objects.values_list("token", flat=True)) == {1, 3}


@pytest.mark.parametrize(
    "outcome",
    [
        deferred(ErrorKind.RATE_LIMIT, "wait", 5.0),
        Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.ENDPOINT_DISABLED),
        Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.TEMPLATE),
    ],
    ids=["deferred", "disabled", "not made"],
)
def test_nothing_is_counted_when_the_next_holder_sent_nothing(recorder: Recorder, make: Make, outcome: Outcome) -> None:
    hint = dispatch([make()])
    hold(hint)
    held = hold(sweep_takes(hint.dispatch_id))
    recorded(recorder, held[0], outcome)
    assert causes() == []


def test_no_more_is_counted_than_a_worker_can_have_sent_unrecorded_when_it_held_much(
    recorder: Recorder, make: Make, settings: Settings
) -> None:
    settings.WEBHOOK_MAX_IN_FLIGHT_PER_ENDPOINT = 8
    first = make()
    deliveries = [first, *[make(subscription=first.subscription) for _ in range(UNRECORDED_MOST + 40)]]
    other = make()
    hint = dispatch([*deliveries, other])
    hold(hint)
    for held in hold(sweep_takes(hint.dispatch_id)):
        recorder.put(held, sent())
    ended(hint)
    assert len(causes()) == UNRECORDED_MOST + 8 + 1
    assert DuplicateSend.objects.filter(delivery_id=other.pk, worker="test").exists(), "another endpoint's count apart"


def test_nothing_is_counted_when_a_hint_was_lost_that_nobody_had_claimed(recorder: Recorder, make: Make) -> None:
    hint = dispatch([make()])
    recorded(recorder, hold(sweep_takes(hint.dispatch_id))[0], sent())
    assert causes() == []
    assert Attempt.objects.count() == 1


def test_lost_token_is_kept_when_a_silent_workers_dispatch_is_released_early(make: Make) -> None:
    hint = dispatch([make()])
    hold(hint)
    Dispatch.objects.update(lease_until=timezone.now() + timedelta(seconds=1))
    assert [taken.token for taken in store.release_orphaned(10, 10.0, 12.0)] == [2]
    taken = Dispatch.objects.get()
    assert (taken.lost_tokens, taken.lost_workers) == ([1], ["test"])


def test_duplicate_is_not_kept_when_the_result_is_not(recorder: Recorder, make: Make) -> None:
    """One transaction: while the counter cannot be written, the result is not there either."""
    hint = dispatch([make()])
    hold(hint)
    held = hold(sweep_takes(hint.dispatch_id))
    with refusing("delivery_duplicatesend", sqlstate="57P03") as refusals:
        recorder.put(held[0], sent())
        eventually(lambda: refusals() >= 2, every_s=0.01)
        assert not Attempt.objects.exists()
    ended(hint)
    assert causes() == ["resent"]
    assert Attempt.objects.count() == 1


# --- late ---


def test_late_is_counted_when_the_next_holder_could_not_send_and_will(recorder: Recorder, make: Make) -> None:
    hint = dispatch([make()])
    older = hold(hint)
    newer = hold(sweep_takes(hint.dispatch_id))
    recorder.put(newer[0], deferred(ErrorKind.BREAKER_OPEN, "open", 60.0))
    ended(hint)
    recorded(recorder, older[0], sent())
    assert causes() == ["late"]
    assert Delivery.objects.get().state is DeliveryStatus.PENDING


def test_send_is_counted_once_when_the_late_result_comes_first(recorder: Recorder, make: Make) -> None:
    hint = dispatch([make()])
    older = hold(hint)
    newer = hold(sweep_takes(hint.dispatch_id))
    recorder.put(older[0], sent())
    eventually(lambda: causes() == ["late"], every_s=0.01)
    recorded(recorder, newer[0], sent())
    assert causes() == ["late"]
    assert Delivery.objects.get().state is DeliveryStatus.DELIVERED


def test_nothing_is_counted_when_the_late_request_never_left_us(recorder: Recorder, make: Make) -> None:
    hint = dispatch([make()])
    older = hold(hint)
    hold(sweep_takes(hint.dispatch_id))
    recorded(recorder, older[0], sent(OutcomeKind.FAILED, ErrorKind.CONNECT_REFUSED))
    assert causes() == []


@pytest.mark.parametrize("taken_over", [False, True])
def test_nothing_is_counted_when_the_delivery_was_cancelled_before_anybody_sent_it_again(
    recorder: Recorder, make: Make, taken_over: bool
) -> None:
    delivery = make()
    hint = dispatch([delivery])
    older = hold(hint)
    if taken_over:
        sweep_takes(hint.dispatch_id)
    assert delivery.move(DeliveryStatus.CANCELLED)
    recorded(recorder, older[0], sent())
    assert causes() == []


def test_nothing_is_counted_when_the_delivery_died_unsent_meanwhile(recorder: Recorder, make: Make) -> None:
    hint = dispatch([make()])
    older = hold(hint)
    newer = hold(sweep_takes(hint.dispatch_id))
    recorder.put(newer[0], Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.ENDPOINT_DISABLED))
    ended(hint)
    recorded(recorder, older[0], sent())
    assert Delivery.objects.get().state is DeliveryStatus.DEAD
    assert causes() == []


def test_nothing_is_counted_when_our_own_result_is_written_a_second_time(recorder: Recorder, make: Make) -> None:
    """As after a commit whose answer was lost: the dispatch is gone, and the attempt is this very one."""
    hint = dispatch([make()])
    (held,) = hold(hint)
    outcome = sent()
    recorder.put(held, outcome)
    ended(hint)
    recorded(recorder, held, outcome)
    assert causes() == []
    assert Attempt.objects.count() == 1


def test_results_go_on_being_recorded_when_duplicates_cannot_be_counted(recorder: Recorder, make: Make) -> None:
    hint, other = dispatch([make()]), dispatch([make()])
    older = hold(hint)
    hold(sweep_takes(hint.dispatch_id))
    with refusing("delivery_duplicatesend") as refusals:
        recorder.put(older[0], sent())
        eventually(lambda: refusals() == 1, every_s=0.01)
    recorded(recorder, hold(other)[0], sent())
    assert Delivery.objects.filter(status="delivered").count() == 1
    assert causes() == []


def test_ordinary_results_cost_no_statement_more_when_nothing_was_lost(make: Make) -> None:
    hint = dispatch([make()])
    assert store.claim(hint.dispatch_id, hint.token, "w", 25) == store.Claimed(
        [Delivery.objects.get().pk], Dispatch.objects.get().created_at, [], []
    )
    assert len(store.RECORD) < 4096
