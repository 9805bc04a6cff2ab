from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from delivery import store
from delivery.models import Attempt, Delivery, DeliveryCounter, Dispatch
from delivery.planning import plan_event
from delivery.states import DeliveryStatus
from delivery.store import Claimed, Hint, NewDispatch, ResultRow, id_bounds
from eventcenter.ids import derived_id, id_floor, new_id
from subscriptions.matching import Route
from tests.delivery.worker.desk import dispatch
from tests.factories import DeliveryFactory, EventFactory, SubscriptionFactory, event_id_at

LOW_80 = (1 << 80) - 1


# --- Bounds ---


def test_bounds_are_one_whole_millisecond_when_there_is_one_id() -> None:
    one = new_id()
    low, high = id_bounds([one])
    assert low.int >> 80 == high.int >> 80 == one.int >> 80
    assert (low.int & LOW_80, high.int & LOW_80) == (0, LOW_80)


@given(st.lists(st.integers(0, (1 << 128) - 1), min_size=1, max_size=20))
def test_bounds_hold_every_id_and_its_event(numbers: list[int]) -> None:
    low, high = id_bounds([UUID(int=number) for number in numbers])
    assert all(low.int <= number <= high.int for number in numbers)
    # An event shares its delivery's millisecond and nothing else.
    assert all(low.int <= (number >> 80 << 80) and (number | LOW_80) <= high.int for number in numbers)


@pytest.mark.parametrize("number", [0, (1 << 128) - 1], ids=["nil", "max"])
def test_bounds_are_ids_when_they_are_at_an_end(number: int) -> None:
    low, high = id_bounds([UUID(int=number)])
    assert low.int <= number <= high.int < 1 << 128


def test_bounds_cross_midnight_when_the_ids_do() -> None:
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    before, after = event_id_at(midnight - timedelta(milliseconds=1)), event_id_at(midnight)
    low, high = id_bounds([after, before])
    assert low < id_floor(midnight) <= high


# --- Plans ---


def planned(event_id: UUID, tenant_id: int, *subscriptions: int) -> None:
    routes = [Route(number, number, "fast", ("t",), frozenset(), None) for number in subscriptions]
    store.copy_deliveries(plan_event(event_id, tenant_id, routes), timezone.now())


@pytest.mark.django_db
def test_planned_deliveries_have_the_defaults_of_a_new_one() -> None:
    event = EventFactory()
    planned(event.pk, event.tenant_id, 3)
    delivery = Delivery.objects.get()
    assert (delivery.event_id, delivery.subscription_id, delivery.endpoint_id) == (event.pk, 3, 3)
    assert (delivery.status, delivery.attempts, delivery.tries, delivery.replays) == ("pending", 0, 0, 0)


@pytest.mark.django_db
def test_second_plan_of_an_event_is_impossible() -> None:
    event = EventFactory()
    planned(event.pk, event.tenant_id, 3)
    with pytest.raises(IntegrityError), transaction.atomic():
        planned(event.pk, event.tenant_id, 2, 3)
    assert Delivery.objects.count() == 1


# --- Dispatches ---


@pytest.mark.django_db
def test_lease_runs_from_the_moment_that_a_retry_is_for() -> None:
    now = timezone.now()
    at = now + timedelta(seconds=90)
    hints = store.insert_dispatches([NewDispatch("retry", [new_id()], at), NewDispatch("fast", [new_id()])], 10, now)
    retry, first = Dispatch.objects.order_by("lane").reverse()
    assert hints == [Hint("retry", retry.pk, 0, 90.0), Hint("fast", first.pk, 0, 0.0)]
    assert retry.lease_until == at + timedelta(seconds=10)
    assert abs(first.lease_until - now - timedelta(seconds=10)) < timedelta(seconds=5)


@pytest.mark.django_db
def test_hint_has_no_countdown_when_its_time_has_passed() -> None:
    now = timezone.now()
    hints = store.insert_dispatches([NewDispatch("retry", [new_id()], now - timedelta(seconds=5))], 10, now)
    assert hints[0].countdown_s == 0


@pytest.mark.django_db
def test_only_those_still_held_are_renewed_and_deleted() -> None:
    mine, lost = dispatch([DeliveryFactory()]), dispatch([DeliveryFactory()])
    assert store.claim(mine.dispatch_id, 0, "me", 1) is not None
    pairs = [(mine.dispatch_id, 1), (lost.dispatch_id, 1), (2**40, 1)]
    assert store.renew(pairs, 60) == {(mine.dispatch_id, 1)}
    assert Dispatch.objects.get(pk=mine.dispatch_id).lease_until > timezone.now() + timedelta(seconds=30)
    store.delete_dispatches(pairs)
    assert [row.pk for row in Dispatch.objects.all()] == [lost.dispatch_id]


@pytest.mark.django_db
def test_nothing_is_loaded_when_the_batch_is_empty() -> None:
    assert store.load(Claimed([], timezone.now())) == []


@pytest.mark.django_db
def test_only_open_deliveries_are_loaded_with_their_own_events() -> None:
    rows = [
        DeliveryFactory(),
        DeliveryFactory(retrying=True, due_at=None, next_attempt_at=timezone.now()),
        DeliveryFactory(delivered=True),
        DeliveryFactory(dead=True),
        DeliveryFactory(status=DeliveryStatus.CANCELLED),
    ]
    loaded = {item.id: item for item in store.load(Claimed([row.pk for row in rows], timezone.now()))}
    assert set(loaded) == {rows[0].pk, rows[1].pk}
    for row in rows[:2]:
        assert loaded[row.pk].body == row.event.body
        assert (loaded[row.pk].attempts, loaded[row.pk].tries) == (row.attempts, row.tries)


@pytest.mark.django_db
def test_each_delivery_has_its_event_when_events_share_a_millisecond() -> None:
    at, subscription = timezone.now(), SubscriptionFactory()
    rows = DeliveryFactory.create_batch(5, accepted_at=at, subscription=subscription)
    loaded = store.load(Claimed([row.pk for row in rows], timezone.now()))
    assert {item.id: item.body for item in loaded} == {row.pk: row.event.body for row in rows}


@pytest.mark.django_db
def test_plans_of_load_and_record_ask_for_no_whole_table() -> None:
    """Every statement of a worker goes by primary key, also over many days."""
    delivery = DeliveryFactory()
    floor, ceiling = id_bounds([delivery.pk])
    parameters = {"ids": [delivery.pk], "planned_for": timezone.now(), "floor": floor, "ceiling": ceiling}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN " + store.LOAD, parameters)
        lines = [row[0] for row in cursor.fetchall()]
    assert not [line for line in lines if "Seq Scan" in line]
    partitions = {
        line.split(" on ")[1].split()[0] for line in lines if " Scan using " in line or "Index Scan on" in line
    }
    assert len(partitions) <= 6, "days that the ids cannot lie in are pruned"


# --- Results ---


def result(delivery: Delivery, hint: Hint, **changes: object) -> ResultRow:
    row = ResultRow(
        delivery_id=delivery.pk,
        dispatch_id=hint.dispatch_id,
        token=hint.token,
        status="delivered",
        next_attempt_at=None,
        due_at=None,
        held_reason="",
        dead_reason="",
        started_at=timezone.now(),
        duration_ms=12.5,
        outcome="delivered",
        status_code=204,
        error_kind="",
        error="",
        response_headers="[]",
        response_body=b"",
        remote_address="127.0.0.1:80",
        latency_ms=40.0,
    )
    return row._replace(**changes)


@pytest.mark.django_db
def test_nothing_moves_when_the_token_is_not_the_holders() -> None:
    delivery = DeliveryFactory()
    hint = dispatch([delivery])
    for token in (-1, 1, 2):
        assert store.record([result(delivery, hint, token=token)], [(hint.dispatch_id, token)], "w", 1) == set()
    assert Delivery.objects.get().status == "pending"
    assert Dispatch.objects.exists()
    assert not Attempt.objects.exists()
    assert not DeliveryCounter.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("ended", [{"delivered": True}, {"dead": True}, {"status": DeliveryStatus.CANCELLED}])
def test_nothing_moves_when_the_delivery_has_ended(ended: dict[str, object]) -> None:
    delivery = DeliveryFactory(**ended)
    hint = dispatch([delivery])
    before = Delivery.objects.values().get()
    late = result(delivery, hint, status="retrying", outcome="failed")
    assert store.record([late], [(hint.dispatch_id, 0)], "w", 1) == set()
    assert Delivery.objects.values().get() == before
    assert not Attempt.objects.exists()
    assert not Dispatch.objects.exists()


@pytest.mark.django_db
def test_result_counts_once_when_it_is_recorded_twice() -> None:
    delivery = DeliveryFactory()
    hint = dispatch([delivery])
    row = result(delivery, hint)
    assert store.record([row], [], "w", 1) == {delivery.pk}
    assert store.record([row], [], "w", 1) == set()
    assert (Delivery.objects.get().attempts, DeliveryCounter.objects.get().delivered) == (1, 1)
    assert Attempt.objects.count() == 1


@pytest.mark.django_db
def test_columns_may_all_be_empty_when_nothing_was_sent() -> None:
    delivery = DeliveryFactory()
    hint = dispatch([delivery])
    at = timezone.now() + timedelta(seconds=5)
    held = result(
        delivery,
        hint,
        status="pending",
        outcome="deferred",
        status_code=None,
        latency_ms=None,
        next_attempt_at=at,
        due_at=at,
        held_reason="endpoint_paused",
    )
    assert store.record([held], [], "w", 1) == {delivery.pk}
    row = Delivery.objects.get()
    assert (row.due_at, row.held_reason, row.attempts, row.last_status_code) == (at, "endpoint_paused", 0, None)
    assert not Attempt.objects.exists()


@pytest.mark.django_db
def test_numbers_go_on_over_rounds() -> None:
    delivery = DeliveryFactory(attempts=32, tries=0, replays=3)
    hint = dispatch([delivery])
    store.record([result(delivery, hint)], [], "w", 1)
    attempt = Attempt.objects.get()
    assert (attempt.number, attempt.replay) == (33, True)
    assert Delivery.objects.get().tries == 1


@pytest.mark.django_db
def test_other_endpoints_are_counted_apart_when_a_group_holds_several() -> None:
    deliveries = [DeliveryFactory(), DeliveryFactory()]
    hint = dispatch(deliveries)
    store.record([result(item, hint) for item in deliveries], [(hint.dispatch_id, 0)], "w", 1)
    counted = DeliveryCounter.objects.values_list("tenant_id", "endpoint_id", "delivered")
    assert set(counted) == {(item.tenant_id, item.endpoint_id, 1) for item in deliveries}


@pytest.mark.django_db
def test_derived_id_is_the_deliverys_when_a_subscription_matches() -> None:
    delivery = DeliveryFactory()
    assert delivery.pk == derived_id(delivery.event_id, delivery.subscription_id)


def test_record_stays_below_what_the_driver_remembers() -> None:
    """psycopg parses a statement of 4,096 characters and more anew at every call."""
    assert len(store.RECORD) < 4096
