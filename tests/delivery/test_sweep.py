from __future__ import annotations

import threading
import time
from datetime import timedelta
from uuid import UUID

import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

from config.stack.services import Services
from delivery import store, sweep
from delivery.models import Delivery, Dispatch
from delivery.planning import DISPATCH_DELIVERIES
from delivery.queue_order import QUEUE_PREFIX
from delivery.sweep import DUE_MOST, DUE_OF_ENDPOINT_MOST, QUEUED_HINTS_MOST, SILENT_S, Sweeper, Swept
from tests.delivery.conftest import HintsIn
from tests.delivery.worker.desk import dispatch, stuck
from tests.factories import DeliveryFactory, SubscriptionFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queues")]

LONG_AGO = timedelta(seconds=30)


def sweep_now() -> Swept:
    return Sweeper().sweep(timezone.now())


def expire(**which: object) -> None:
    Dispatch.objects.filter(**which).update(lease_until=timezone.now() - LONG_AGO)


def due_deliveries(count: int, **changes: object) -> list[Delivery]:
    subscription = SubscriptionFactory()
    values = {"retrying": True, "due_at": timezone.now() - LONG_AGO, "subscription": subscription, **changes}
    return DeliveryFactory.create_batch(count, **values)


# --- Lost hints and workers ---


def test_hint_is_published_again_with_a_new_token_when_nobody_claimed_it(hints_in: HintsIn) -> None:
    hint = dispatch([DeliveryFactory()])
    expire()
    assert sweep_now() == Swept(released=1, due=0)
    row = Dispatch.objects.get()
    assert (row.token, row.claimed_by) == (1, "")
    assert timedelta(seconds=5) < row.lease_until - timezone.now() < timedelta(seconds=15)
    assert hints_in("fast") == [[hint.dispatch_id, 1]]


def test_old_hint_loses_when_the_sweep_was_faster() -> None:
    hint = dispatch([DeliveryFactory()])
    expire()
    sweep_now()
    assert store.claim(hint.dispatch_id, hint.token, "late", 25) is None
    assert store.claim(hint.dispatch_id, hint.token + 1, "in time", 25) is not None
    assert store.claim(hint.dispatch_id, hint.token + 1, "twice", 25) is None


def test_dispatch_is_freed_when_its_worker_is_lost(hints_in: HintsIn) -> None:
    hint = dispatch([DeliveryFactory()], lane="slow")
    store.claim(hint.dispatch_id, hint.token, "lost:1", 25)
    assert sweep_now() == Swept(0, 0), "its lease still runs"
    expire()
    sweep_now()
    assert (Dispatch.objects.get().token, Dispatch.objects.get().claimed_by) == (2, "")
    assert hints_in("retry") == [[hint.dispatch_id, 2]], "ahead of what nobody has begun"
    assert store.renew([(hint.dispatch_id, 1)], 25) == set()


def test_nothing_is_published_when_every_lease_runs(hints_in: HintsIn) -> None:
    dispatch([DeliveryFactory()])
    dispatch([DeliveryFactory()], lane="retry", not_before=timezone.now() + timedelta(minutes=4))
    assert sweep_now() == Swept(0, 0)
    assert hints_in("fast") == hints_in("retry") == []


def test_a_retry_that_waits_is_left_alone_until_its_time_and_a_lease_have_passed() -> None:
    hint = dispatch([DeliveryFactory()], lane="retry", not_before=timezone.now() + timedelta(seconds=30))
    assert 29 < hint.countdown_s <= 30
    assert Dispatch.objects.get().lease_until > timezone.now() + timedelta(seconds=35)


# --- What is due ---


def test_due_deliveries_get_a_dispatch(hints_in: HintsIn) -> None:
    delivery = due_deliveries(1, held_reason="endpoint_paused")[0]
    assert sweep_now() == Swept(released=0, due=1)
    row = Dispatch.objects.get()
    assert (row.lane, row.delivery_ids, row.not_before) == ("retry", [delivery.pk], None)
    assert hints_in("retry") == [[row.pk, 0]]
    delivery.refresh_from_db()
    assert (delivery.due_at, delivery.held_reason) == (None, "")
    assert [item.id for item in load_of(row.pk)] == [delivery.pk]


def load_of(dispatch_id: int) -> list[store.Loaded]:
    row = Dispatch.objects.get(pk=dispatch_id)
    claimed = store.claim(dispatch_id, row.token, "test", 25)
    assert claimed is not None
    return store.load(claimed)


def test_delivery_is_loaded_when_it_was_made_due_before_its_next_try() -> None:
    """Whoever brings a delivery forward sets due_at; that alone must be enough."""
    delivery = due_deliveries(1, next_attempt_at=timezone.now() + timedelta(hours=3))[0]
    sweep_now()
    assert [item.id for item in load_of(Dispatch.objects.get().pk)] == [delivery.pk]


def test_delivery_is_left_alone_when_its_time_has_not_come() -> None:
    due_deliveries(1, due_at=timezone.now() + timedelta(seconds=20))
    assert sweep_now() == Swept(0, 0)
    assert not Dispatch.objects.exists()


def test_due_deliveries_are_cut_into_dispatches_when_there_are_many() -> None:
    deliveries = due_deliveries(DISPATCH_DELIVERIES + 1)
    assert sweep_now().due == len(deliveries)
    assert sorted(len(row.delivery_ids) for row in Dispatch.objects.all()) == [1, DISPATCH_DELIVERIES]
    assert sweep_now() == Swept(0, 0)
    assert not stuck()


def test_deliveries_of_several_days_are_taken_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "DUE_MOST", 2)
    now = timezone.now()
    newest, oldest, middle = (
        due_deliveries(1, accepted_at=now - timedelta(days=days), due_at=now - timedelta(minutes=minutes))[0]
        for days, minutes in ((0, 1), (1, 30), (3, 10))
    )
    sweep_now()
    assert Dispatch.objects.get().delivery_ids is not None
    assert set(Dispatch.objects.get().delivery_ids) == {oldest.pk, middle.pk}
    assert Delivery.objects.get(pk=newest.pk).due_at is not None


def test_another_pass_is_asked_for_when_there_may_be_more() -> None:
    assert not Swept(0, 0).more
    assert Swept(released=0, due=DUE_MOST).more
    assert Swept(released=sweep.RELEASE_MOST, due=0).more


# --- The queue and Redis ---


def fill_queue(client: redis.Redis, lane: str, count: int) -> None:
    client.rpush(QUEUE_PREFIX + lane, *["{}"] * count)


def test_unclaimed_are_left_alone_when_their_lanes_queue_is_long(redis_client: redis.Redis) -> None:
    for lane in ("bulk0", "fast"):
        dispatch([DeliveryFactory()], lane=lane)
    expire()
    due_deliveries(1)
    fill_queue(redis_client, "bulk0", QUEUED_HINTS_MOST)
    assert sweep_now() == Swept(1, 1), "other lanes go on"
    assert Dispatch.objects.get(lane="bulk0").token == 0
    redis_client.delete(QUEUE_PREFIX + "bulk0")
    assert sweep_now() == Swept(1, 0)


def test_lost_workers_deliveries_go_on_when_their_lanes_queue_is_long(
    redis_client: redis.Redis, hints_in: HintsIn
) -> None:
    hint = dispatch([DeliveryFactory()], lane="bulk0")
    store.claim(hint.dispatch_id, hint.token, "lost:1", 25)
    expire()
    fill_queue(redis_client, "bulk0", QUEUED_HINTS_MOST)
    assert sweep_now().released == 1
    assert hints_in("retry") == [[hint.dispatch_id, 2]]


def test_nothing_is_made_due_when_the_retry_queue_is_long(redis_client: redis.Redis) -> None:
    due_deliveries(1)
    fill_queue(redis_client, "retry", QUEUED_HINTS_MOST)
    assert sweep_now() == Swept(0, 0)
    assert Delivery.objects.filter(due_at__isnull=False).count() == 1


# --- A worker that fell silent ---


def silent_dispatch(silent_s: float) -> store.Hint:
    """Claimed, and its lease renewed for the last time so long ago."""
    hint = dispatch([DeliveryFactory()])
    store.claim(hint.dispatch_id, hint.token, "silent:1", django_settings.DISPATCH_LEASE_S)
    left = timedelta(seconds=django_settings.DISPATCH_LEASE_S - silent_s)
    Dispatch.objects.filter(pk=hint.dispatch_id).update(lease_until=timezone.now() + left)
    return hint


def steady_sweeper() -> Sweeper:
    """One that has passed without a gap for long."""
    sweeper = Sweeper()
    sweeper._steady_since = time.monotonic() - SILENT_S * 2
    sweeper._last_pass = time.monotonic()
    return sweeper


def test_dispatch_is_freed_before_its_lease_ends_when_its_worker_fell_silent(hints_in: HintsIn) -> None:
    hint = silent_dispatch(SILENT_S + 1)
    assert steady_sweeper().sweep(timezone.now()) == Swept(1, 0)
    assert hints_in("retry") == [[hint.dispatch_id, 2]]


def test_dispatch_stays_its_workers_when_that_renewed_it_just_now() -> None:
    silent_dispatch(SILENT_S - 2)
    assert steady_sweeper().sweep(timezone.now()) == Swept(0, 0)


def test_silence_says_nothing_when_the_database_was_away() -> None:
    silent_dispatch(SILENT_S + 1)
    sweeper = steady_sweeper()
    sweeper._last_pass = time.monotonic() - sweep.GAP_S - 1
    assert sweeper.sweep(timezone.now()) == Swept(0, 0)
    assert sweep_now() == Swept(0, 0), "nor to a sweep that has just begun"


# --- Many due of one endpoint ---


def test_one_endpoints_due_deliveries_are_held_when_they_are_many(hints_in: HintsIn) -> None:
    many = due_deliveries(DUE_OF_ENDPOINT_MOST + 30)
    other = due_deliveries(1)[0]
    assert steady_sweeper().sweep(timezone.now()).due == len(many) + 1
    covered = [one for row in Dispatch.objects.filter(endpoint_id=None) for one in row.delivery_ids]
    assert len(covered) == DUE_OF_ENDPOINT_MOST + 1
    assert other.pk in covered
    let_go = [one for row in Dispatch.objects.exclude(endpoint_id=None) for one in row.delivery_ids]
    held = Delivery.objects.filter(held_reason="backlog")
    assert len(covered) + len(let_go) + held.count() == len(many) + 1
    assert all(row.due_at > timezone.now() for row in held)
    assert not stuck()


def test_nothing_is_lost_when_redis_is_away(services: Services, settings: Settings, hints_in: HintsIn) -> None:
    hint = dispatch([DeliveryFactory()])
    expire()
    delivery = due_deliveries(1)[0]
    sweeper = Sweeper()
    services.valkey.stop()
    try:
        assert sweeper.sweep(timezone.now()) == Swept(0, 0)
    finally:
        services.valkey.start()
    assert Dispatch.objects.get().token == hint.token
    assert Delivery.objects.get(pk=delivery.pk).due_at is not None
    assert sweeper.sweep(timezone.now()) == Swept(1, 1), "the same sweeper goes on"
    assert len(hints_in("fast")) == len(hints_in("retry")) == 1


def test_everything_comes_back_at_once_when_redis_lost_all(redis_client: redis.Redis, hints_in: HintsIn) -> None:
    sweep_now()
    dispatches = [dispatch([DeliveryFactory()]) for _ in range(3)]
    claimed = dispatch([DeliveryFactory()])
    store.claim(claimed.dispatch_id, claimed.token, "busy:1", 25)
    later = dispatch([DeliveryFactory()], lane="retry", not_before=timezone.now() + timedelta(seconds=30))
    assert sweep_now().released == 0, "they are on their way"
    redis_client.flushdb()
    assert sweep_now().released == 3
    assert sorted(hints_in("fast")) == sorted([hint.dispatch_id, 1] for hint in dispatches)
    assert hints_in("retry") == []
    assert Dispatch.objects.get(pk=later.dispatch_id).token == 0
    assert Dispatch.objects.get(pk=claimed.dispatch_id).token == 1
    assert sweep_now().released == 0, "once"


@pytest.mark.django_db(transaction=True)
def test_all_come_back_in_parts_when_they_are_many(
    redis_client: redis.Redis, hints_in: HintsIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "RELEASE_MOST", 2)
    sweep_now()
    for _ in range(5):
        dispatch([DeliveryFactory()])
    redis_client.flushdb()
    sweeper = Sweeper()
    assert [sweeper.sweep(timezone.now()).released for _ in range(4)] == [2, 2, 1, 0]
    assert sorted(token for _, token in hints_in("fast")) == [1] * 5


# --- Several sweepers ---


def in_two_threads(action: object) -> None:
    together = threading.Barrier(2)
    faults: list[BaseException] = []

    def run() -> None:
        try:
            together.wait()
            assert callable(action)
            action()
        except BaseException as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


@pytest.mark.django_db(transaction=True)
def test_nothing_is_doubled_when_two_sweep_at_once(hints_in: HintsIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "DUE_MOST", 40)
    monkeypatch.setattr(sweep, "RELEASE_MOST", 7)
    subscription = SubscriptionFactory()
    lost = [dispatch([DeliveryFactory(subscription=subscription)]) for _ in range(30)]
    expire()
    due = due_deliveries(300, subscription=subscription)
    done: list[Swept] = []

    def work_off() -> None:
        sweeper = Sweeper()
        while (swept := sweeper.sweep(timezone.now())) != Swept(0, 0):
            done.append(swept)

    in_two_threads(work_off)
    assert sum(swept.released for swept in done) == len(lost)
    assert sum(swept.due for swept in done) == len(due)
    assert set(Dispatch.objects.filter(lane="fast").values_list("token", flat=True)) == {1}
    covered: list[UUID] = [one for row in Dispatch.objects.filter(lane="retry") for one in row.delivery_ids]
    assert sorted(covered) == sorted(delivery.pk for delivery in due)
    assert len(hints_in("fast")) == len(lost)
    assert not stuck()


@pytest.mark.django_db(transaction=True)
def test_locked_rows_are_passed_over_when_another_sweeper_holds_them() -> None:
    deliveries = due_deliveries(3)
    taken: list[UUID] = []
    with transaction.atomic():
        first = [row[0] for row in store.take_due(2)]

        def take() -> None:
            with transaction.atomic():
                taken.extend(row[0] for row in store.take_due(10))

        thread = threading.Thread(target=lambda: (take(), connection.close()))
        thread.start()
        thread.join(10)
        assert not thread.is_alive(), "it waited for the other's rows"
    assert len(first) == 2
    assert sorted([*first, *taken]) == sorted(delivery.pk for delivery in deliveries)


@pytest.mark.django_db(transaction=True)
def test_due_deliveries_stay_due_when_the_sweep_fails_before_its_commit() -> None:
    due_deliveries(3)
    with transaction.atomic():
        assert len(store.take_due(10)) == 3
        transaction.set_rollback(True)
    assert Delivery.objects.due(timezone.now()).count() == 3
    assert not stuck()


def test_settings_point_at_a_queue_without_acknowledgements() -> None:
    """Rule 1 of the design: the sweep alone brings a lost message back; Redis must not do so, too."""
    assert django_settings.CELERY_BROKER_TRANSPORT_OPTIONS["ack_emulation"] is False
