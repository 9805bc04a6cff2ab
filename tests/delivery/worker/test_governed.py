"""Breaker, Retry-After, limits, order and deaths as a worker, its recorder and the sweep's releaser play them together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from pytest_django import Settings

from delivery import store
from delivery.health.breakers import Board
from delivery.limiting.limits import Limiter
from delivery.models import Attempt, Breaker, BreakerState, Delivery, Dispatch
from delivery.order.order_key import order_key
from delivery.order.ordering import Ordered, enqueue
from delivery.release import Releaser
from delivery.states import DeliveryStatus
from delivery.store import Hint
from eventcenter.models import EventType, OutboxMessage
from subscriptions.models import Subscription
from tests.delivery.worker.desk import Desk, Make, dispatch, ended, stuck
from tests.factories import EndpointFactory, EndpointSecretFactory, SubscriptionFactory
from tests.fakes.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db(transaction=True)

NO_WAIT = {"schedule_s": [0] * 50, "jitter_share": 0}
QUICK = {"schedule_s": [0, 3600], "jitter_share": 0}


def let_go(desk: Desk) -> int:
    """One step of a fresh releaser, and what it let go is run."""
    made = Releaser(Board(), Limiter(django_settings.REDIS_URL))
    made._board.refresh_if_due(timezone.now())
    hints = made.step(timezone.now())
    return sum(run(desk, hint) for hint in hints)


def run(desk: Desk, hint: Hint) -> int:
    count = desk.run(hint)
    ended(hint)
    return count


def held_for(reason: str) -> int:
    return Delivery.objects.filter(held_reason=reason).count()


@pytest.fixture
def sensitive(settings: Settings) -> None:
    settings.BREAKER_CONSECUTIVE = 3
    settings.BREAKER_FIRST_WAIT_S = 60.0


@pytest.mark.usefixtures("sensitive")
def test_others_are_held_and_one_finds_out_when_the_breaker_opened(
    new_desk: Callable[[], Desk], make: Make, receiver: Receiver
) -> None:
    desk = new_desk()
    receiver.script("/hook", Answer(500), Answer(500), Answer(500), Answer(204))
    first = make(policy=QUICK)
    failing = [first, *(make(subscription=first.subscription) for _ in range(2))]
    desk.deliver(*failing)
    assert Breaker.objects.get().state == BreakerState.OPEN
    waiting = [make(subscription=first.subscription) for _ in range(5)]
    desk.deliver(*waiting)
    assert len(receiver.requests) == 3
    assert held_for("breaker_open") == 5
    assert not Attempt.objects.filter(delivery__in=waiting).exists()
    assert let_go(desk) == 0

    Breaker.objects.update(next_probe_at=timezone.now() - timedelta(seconds=1))
    other = new_desk()
    assert let_go(other) == 1, "one finds out"
    assert len(receiver.requests) == 4
    assert Breaker.objects.get().state == BreakerState.CLOSED
    assert let_go(other) == 4
    assert {row.state for row in Delivery.objects.filter(pk__in=[row.pk for row in waiting])} == {
        DeliveryStatus.DELIVERED
    }
    assert not stuck()


@pytest.mark.usefixtures("sensitive")
def test_breaker_opens_again_when_the_probe_fails(new_desk: Callable[[], Desk], make: Make, receiver: Receiver) -> None:
    desk = new_desk()
    receiver.script("/hook", Answer(500))
    first = make(policy=QUICK)
    desk.deliver(first, *(make(subscription=first.subscription) for _ in range(2)))
    desk.deliver(make(subscription=first.subscription), make(subscription=first.subscription))
    Breaker.objects.update(next_probe_at=timezone.now() - timedelta(seconds=1))
    assert let_go(new_desk()) == 1
    row = Breaker.objects.get()
    assert (row.state, row.openings) == (BreakerState.OPEN, 2)
    assert row.next_probe_at is not None
    assert row.next_probe_at > timezone.now() + timedelta(seconds=100)
    assert len(receiver.requests) == 4
    assert held_for("breaker_open") == 1


def test_whole_endpoint_waits_when_the_receiver_names_a_time(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/hook", Answer(429, [("Retry-After", "3600")]), Answer(204))
    first = make()
    desk.deliver(first)
    second, elsewhere = make(subscription=first.subscription), make("/elsewhere")
    desk.deliver(second, elsewhere)
    assert (second.held_reason, second.attempts) == ("retry_after", 0)
    assert second.next_attempt_at is not None
    assert second.next_attempt_at > timezone.now() + timedelta(minutes=59)
    assert elsewhere.state is DeliveryStatus.DELIVERED
    assert len(receiver.requests_to("/hook")) == 1
    assert let_go(desk) == 0
    Breaker.objects.update(hold_until=timezone.now() - timedelta(seconds=1))
    fresh = Releaser(Board(), Limiter(django_settings.REDIS_URL))
    assert len(fresh.step(timezone.now())) == 1


def test_what_exceeds_the_rate_limit_is_held_and_no_attempt_spent(desk: Desk, make: Make, receiver: Receiver) -> None:
    endpoint = EndpointFactory(url=receiver.url("/limited"), rate_limit=5)
    subscription = SubscriptionFactory(endpoint=endpoint)
    deliveries = [make(subscription=subscription) for _ in range(30)]
    desk.deliver(*deliveries)
    sent = len(receiver.requests_to("/limited"))
    assert 1 <= sent <= 7
    assert held_for("rate_limit") == 30 - sent
    assert Attempt.objects.count() == sent
    assert not stuck()


def test_nothing_goes_unsigned_when_the_secrets_cannot_be_read(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery = make()
    EndpointSecretFactory(endpoint=delivery.endpoint, sealed_secret=b"gone:0123456789")
    desk.deliver(delivery)
    assert (delivery.held_reason, delivery.attempts) == ("unsigned", 0)
    assert not receiver.requests


def test_death_is_an_event_of_its_own(desk: Desk, make: Make, receiver: Receiver, event_types: list[EventType]) -> None:
    receiver.script("/hook", Answer(500))
    delivery = make(policy={"schedule_s": [0]})
    desk.deliver(delivery)
    assert delivery.state is DeliveryStatus.DEAD
    body = bytes(OutboxMessage.objects.get().body).decode()
    assert "event.delivery.failed" in body
    assert str(delivery.pk) in body


def ordered(receiver: Receiver, ordering: str) -> Subscription:
    endpoint = EndpointFactory(url=receiver.url("/ordered"))
    made: Subscription = SubscriptionFactory(
        endpoint=endpoint, ordering=ordering, retry_policy={"schedule_s": [0], "jitter_share": 0}
    )
    return made


def queue(subscription: Subscription, make: Make, count: int) -> list[Delivery]:
    """Deliveries of one key as the ingest leaves them: the first may go, the others wait."""
    deliveries = [make(subscription=subscription) for _ in range(count)]
    key = order_key(subscription.pk, "acme|one")
    waiting = enqueue([Ordered(row.pk, subscription.pk, key) for row in deliveries])
    Delivery.objects.filter(pk__in=waiting).update(held_reason="ordering", next_attempt_at=timezone.now())
    assert waiting == {row.pk for row in deliveries[1:]}
    return deliveries


def run_all(desk: Desk) -> None:
    while Dispatch.objects.exists():
        row = Dispatch.objects.earliest("id")
        run(desk, Hint(row.lane, row.pk, row.token))


@pytest.mark.parametrize(("ordering", "arrived"), [("skip", 3), ("block", 1)])
def test_next_of_the_key_goes_when_the_one_before_it_ended(
    desk: Desk, make: Make, receiver: Receiver, event_types: list[EventType], ordering: str, arrived: int
) -> None:
    """The first is refused for good; whether its key goes on is the subscription's choice."""
    receiver.script("/ordered", Answer(500), Answer(204))
    deliveries = queue(ordered(receiver, ordering), make, 3)
    dispatch(deliveries[:1])
    run_all(desk)
    ids = [request.header("webhook-id") for request in receiver.requests_to("/ordered")]
    assert ids == [str(row.pk) for row in deliveries[:arrived]]
    assert held_for("ordering") == 3 - arrived
    assert store.held_endpoints() == []
