"""Held deliveries are let go: slowly at first, at the limit's pace, and not at all while something holds them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from delivery import store
from delivery.health.breakers import Board
from delivery.limiting.limits import Limiter
from delivery.models import Breaker, BreakerState, Delivery, Dispatch
from delivery.release import FIRST_WINDOW, MOST_WINDOW, WINDOW_GROWTH, Releaser, Window
from subscriptions.models import EndpointState, Subscription
from tests.factories import DeliveryFactory, EndpointFactory, SubscriptionFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queues")]


@pytest.fixture
def subscription() -> Subscription:
    made: Subscription = SubscriptionFactory()
    return made


def hold(subscription: Subscription, count: int, reason: str = "backlog") -> list[Delivery]:
    now = timezone.now()
    values = {"held_reason": reason, "next_attempt_at": now, "due_at": now + timedelta(minutes=15)}
    return DeliveryFactory.create_batch(count, subscription=subscription, **values)


def releaser() -> Releaser:
    return Releaser(Board(), Limiter(settings.REDIS_URL))


def step(made: Releaser) -> int:
    """One step in which the endpoints are looked for, too; how many deliveries were let go."""
    before = outstanding()
    made._looked_at = float("-inf")
    made._board.refresh_if_due(timezone.now() + timedelta(seconds=5))
    made.step(timezone.now())
    return outstanding() - before


def outstanding() -> int:
    return sum(store.outstanding().values())


def come_back() -> None:
    Dispatch.objects.all().delete()


def test_window_grows_each_time_that_all_came_back() -> None:
    window = Window()
    assert window.room(0) == FIRST_WINDOW
    window.let_go({"breaker_open"})
    assert window.room(5) == FIRST_WINDOW - 5
    assert window.room(0) == int(FIRST_WINDOW * WINDOW_GROWTH)
    assert window.room(0) == int(FIRST_WINDOW * WINDOW_GROWTH), "it was not used since"
    for _ in range(30):
        window.let_go({"backlog"})
        window.room(0)
    assert window.room(0) == MOST_WINDOW


def test_window_shrinks_when_some_were_put_back() -> None:
    window = Window()
    window.let_go({"in_flight_cap", "backlog"})
    assert window.room(0) == FIRST_WINDOW // 2
    for _ in range(20):
        window.let_go({"in_flight_cap"})
    assert window.room(0) == 1


def test_oldest_are_let_go_a_few_at_a_time(subscription: Subscription) -> None:
    held = hold(subscription, FIRST_WINDOW * 4, "breaker_open")
    made = releaser()
    assert step(made) == FIRST_WINDOW
    row = Dispatch.objects.get()
    assert (row.endpoint_id, row.lane) == (subscription.endpoint_id, "retry")
    assert row.delivery_ids == sorted(delivery.pk for delivery in held)[:FIRST_WINDOW]
    assert step(made) == 0, "none came back yet"
    freed = Delivery.objects.filter(pk__in=row.delivery_ids)
    assert set(freed.values_list("held_reason", "due_at")) == {("", None)}
    come_back()
    assert step(made) == int(FIRST_WINDOW * WINDOW_GROWTH)


def test_all_are_let_go_in_the_end_and_nothing_after_them(subscription: Subscription) -> None:
    hold(subscription, FIRST_WINDOW * 3)
    made, gone = releaser(), 0
    for _ in range(4):
        gone += step(made)
        come_back()
    assert gone == FIRST_WINDOW * 3
    assert store.held_endpoints() == []
    assert step(made) == 0


def test_each_endpoint_has_a_window_of_its_own() -> None:
    first, second = SubscriptionFactory(), SubscriptionFactory()
    hold(first, FIRST_WINDOW + 1)
    hold(second, 2)
    assert step(releaser()) == FIRST_WINDOW + 2
    assert store.outstanding() == {first.endpoint_id: FIRST_WINDOW, second.endpoint_id: 2}


def test_none_is_let_go_when_the_endpoint_is_paused(subscription: Subscription) -> None:
    subscription.endpoint.state = EndpointState.PAUSED
    subscription.endpoint.save()
    hold(subscription, 3, "endpoint_paused")
    assert step(releaser()) == 0
    assert Delivery.objects.filter(held_reason="endpoint_paused").count() == 3


def test_all_go_to_their_end_when_the_endpoint_was_disabled(subscription: Subscription) -> None:
    subscription.endpoint.state = EndpointState.DISABLED
    subscription.endpoint.save()
    hold(subscription, FIRST_WINDOW * 3)
    assert step(releaser()) == FIRST_WINDOW * 3


def open_breaker(subscription: Subscription, **values: object) -> None:
    endpoint = subscription.endpoint
    Breaker.objects.create(endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id, **values)


def test_none_is_let_go_when_the_breaker_is_open(subscription: Subscription) -> None:
    later = timezone.now() + timedelta(minutes=5)
    open_breaker(subscription, state=BreakerState.OPEN, opened_at=timezone.now(), next_probe_at=later)
    hold(subscription, 3)
    assert step(releaser()) == 0


def test_none_is_let_go_when_the_receiver_asked_for_a_pause(subscription: Subscription) -> None:
    open_breaker(subscription, hold_until=timezone.now() + timedelta(minutes=5), hold_reason="Retry-After")
    hold(subscription, 3)
    assert step(releaser()) == 0


def test_one_is_let_go_when_a_probe_is_due(subscription: Subscription) -> None:
    before = timezone.now() - timedelta(seconds=1)
    open_breaker(subscription, state=BreakerState.OPEN, opened_at=before, next_probe_at=before)
    hold(subscription, 3)
    made = releaser()
    assert step(made) == 1
    assert step(made) == 0, "it has not come back"


def test_what_waits_for_its_turn_is_left_to_the_order(subscription: Subscription) -> None:
    DeliveryFactory(subscription=subscription, held_reason="ordering", next_attempt_at=timezone.now())
    assert step(releaser()) == 0
    assert store.held_endpoints() == []


def test_limited_endpoint_is_let_go_at_its_limits_pace() -> None:
    subscription = SubscriptionFactory(endpoint=EndpointFactory(rate_limit=10))
    hold(subscription, 40, "rate_limit")
    made = releaser()
    assert 5 <= step(made) <= 13
    assert 5 <= outstanding() + step(made) <= 13, "the limiter has not given more meanwhile"
