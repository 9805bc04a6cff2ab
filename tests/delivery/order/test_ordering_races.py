"""Ingest and recorder meet on one line: exactly one of them sends the next delivery off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

import pytest
from django.db import connection, transaction

from delivery.models import Delivery
from delivery.order.order_key import order_key
from delivery.order.ordering_store import STRIPES
from subscriptions.models import Subscription
from tests.delivery.order.lines import end, in_line, ingest, ordered_subscription, parked, plan, unplanned
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 150


@pytest.fixture
def subscription() -> Subscription:
    return ordered_subscription()


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], object]], Future[object]]]:
    """Runs something on another thread, with a database connection of its own."""
    with ThreadPoolExecutor(2) as pool:

        def start(work: Callable[[], object]) -> Future[object]:
            def run() -> object:
                try:
                    return work()
                finally:
                    connection.close()

            return pool.submit(run)

        yield start


def stripe_of(subscription: Subscription, key: str) -> int:
    return order_key(subscription.pk, key).int % STRIPES


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        row = cursor.fetchone()
    return bool(row and row[0])


Beside = Callable[[Callable[[], object]], "Future[object]"]


def test_worker_sends_the_next_off_when_it_ends_the_head_after_the_ingest_saw_it(
    subscription: Subscription, beside: Beside
) -> None:
    (head,) = plan(subscription, "a")
    following = unplanned(subscription)
    with transaction.atomic():
        assert ingest([following], ["a"]) == []
        ending = beside(lambda: end(head))
        eventually(somebody_waits_for_a_lock)
        assert not ending.done()

    assert ending.result(30) == [following.pk]
    assert parked() == set()


def test_ingest_sends_the_next_off_when_the_head_ended_before_it_could_look(
    subscription: Subscription, beside: Beside
) -> None:
    (head,) = plan(subscription, "a")
    following = unplanned(subscription)
    with transaction.atomic():
        assert end(head) == []
        planning = beside(lambda: ingest([following], ["a"]))
        eventually(somebody_waits_for_a_lock)
        assert not planning.done()

    assert planning.result(30) == [following.pk]
    assert parked() == set()


def test_one_of_them_waits_when_two_ingests_plan_for_an_empty_line(subscription: Subscription, beside: Beside) -> None:
    """A pipeline that writes to Kafka by itself may put one key into two partitions."""
    first, second = unplanned(subscription), unplanned(subscription)
    with transaction.atomic():
        assert ingest([first], ["a"]) == [first.pk]
        planning = beside(lambda: ingest([second], ["a"]))
        eventually(somebody_waits_for_a_lock)

    assert planning.result(30) == []
    assert in_line() == [first.pk, second.pk]


def test_nobody_waits_when_the_keys_are_others(subscription: Subscription, beside: Beside) -> None:
    following = unplanned(subscription)
    other = next(key for key in "bcdefg" if stripe_of(subscription, key) != stripe_of(subscription, "a"))
    with transaction.atomic():
        plan(subscription, "a")

        assert beside(lambda: ingest([following], [other])).result(30) == [following.pk]


def test_each_is_sent_off_once_when_ingest_and_worker_race(subscription: Subscription, beside: Beside) -> None:
    sent: list[UUID] = []
    (head,) = plan(subscription, "a")
    sent.append(head.pk)
    for _ in range(ROUNDS):
        following = unplanned(subscription)
        meet = threading.Barrier(2)
        ending = beside(lambda meet=meet, head=head: (meet.wait(30), end(head))[1])  # type: ignore[misc]
        planning = beside(lambda meet=meet, row=following: (meet.wait(30), ingest([row], ["a"]))[1])  # type: ignore[misc]
        went = [*ending.result(30), *planning.result(30)]  # type: ignore[misc]
        assert went == [following.pk]
        sent += went
        head = following
    assert in_line() == [head.pk]
    assert Delivery.objects.filter(pk__in=sent).count() == ROUNDS + 1
