"""Of each partition key of an ordered subscription one delivery is on its way: the head of its line."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from delivery.models import Delivery
from delivery.order.order_key import order_key
from delivery.order.ordering_store import STRIPES
from delivery.states import DeliveryStatus
from subscriptions.models import Ordering, Subscription
from tests.delivery.order.lines import die, end, in_line, ordered_subscription, parked, plan, reopen, wake
from tests.factories import DeliveryFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscription() -> Subscription:
    return ordered_subscription()


@pytest.fixture
def skipping() -> Subscription:
    return ordered_subscription(Ordering.SKIP)


def switch(subscription: Subscription, ordering: str) -> None:
    Subscription.objects.filter(pk=subscription.pk).update(ordering=ordering)


def ids(*deliveries: Delivery) -> list[UUID]:
    return [row.pk for row in deliveries]


# --- The key ---


def test_key_is_one_subscriptions_and_one_partition_keys_alone() -> None:
    pairs = [(1, "acme|a"), (1, "acme|b"), (2, "acme|a"), (11, "|a"), (1, "1|a"), (1, "")]

    assert len({order_key(*pair) for pair in pairs}) == len(pairs)
    assert order_key(1, "acme|é") == order_key(1, "acme|é")


# --- Who waits, and who is next ---


def test_first_of_each_key_goes_and_the_others_wait_when_a_batch_is_planned(subscription: Subscription) -> None:
    first, second, other, third = plan(subscription, "a", "a", "b", "a")

    assert parked() == {second.pk, third.pk}
    assert in_line() == ids(first, second, other, third)


def test_later_batch_waits_when_the_key_has_an_open_delivery(subscription: Subscription) -> None:
    plan(subscription, "a")

    later, free = plan(subscription, "a", "b")

    assert parked() == {later.pk}
    assert free.pk in in_line()


def test_subscriptions_do_not_wait_for_each_other(subscription: Subscription, skipping: Subscription) -> None:
    plan(subscription, "a")
    plan(skipping, "a")

    assert parked() == set()


def test_next_one_goes_when_the_head_was_delivered(subscription: Subscription) -> None:
    first, second, third = plan(subscription, "a", "a", "a")

    assert end(first) == [second.pk]
    assert parked() == {third.pk}
    assert end(second) == [third.pk]
    assert end(third) == []
    assert in_line() == []


def test_next_ones_go_together_when_heads_of_several_keys_end_in_one_group(subscription: Subscription) -> None:
    heads = plan(subscription, *"abc")
    tails = plan(subscription, *"cab")

    assert end(*heads) == ids(*tails)
    assert parked() == set()


def test_released_one_starts_its_age_when_its_turn_comes(subscription: Subscription) -> None:
    first, second = plan(subscription, "a", "a")
    Delivery.objects.filter(pk=second.pk).update(round_at=timezone.now() - timedelta(days=4))

    end(first)

    second.refresh_from_db()
    assert (second.held_reason, second.due_at) == ("", None)
    assert second.next_attempt_at is not None
    assert second.round_at > timezone.now() - timedelta(minutes=1)


def test_nothing_passes_a_head_that_is_itself_held_or_retrying(subscription: Subscription) -> None:
    first, second = plan(subscription, "a", "a")
    Delivery.objects.filter(pk=first.pk).update(
        status=DeliveryStatus.RETRYING, tries=1, held_reason="breaker_open", due_at=timezone.now()
    )

    (third,) = plan(subscription, "a")

    assert wake() == []
    assert parked() == {second.pk, third.pk}
    first.refresh_from_db()
    assert first.held_reason == "breaker_open"


def test_nothing_happens_when_what_ended_stands_in_no_line(subscription: Subscription) -> None:
    _, second = plan(subscription, "a", "a")

    assert end(DeliveryFactory(subscription=subscription)) == []
    assert parked() == {second.pk}


def test_line_goes_on_over_cancelled_ones_when_the_head_ends(subscription: Subscription) -> None:
    first, second, third, fourth = plan(subscription, *"aaaa")

    assert end(second, third, status=DeliveryStatus.CANCELLED) == []
    assert end(first) == [fourth.pk]


def test_line_goes_on_when_many_before_it_ended_without_a_word(subscription: Subscription) -> None:
    """As after a crash between versions, or when a day's partition was dropped."""
    line = plan(subscription, *["a"] * 30)
    Delivery.objects.filter(pk__in=ids(*line[1:15])).update(status=DeliveryStatus.DELIVERED, held_reason="")
    Delivery.objects.filter(pk__in=ids(*line[15:28])).delete()

    assert end(line[0]) == [line[28].pk]
    assert in_line() == ids(line[28], line[29])


# --- What a dead head does ---


def test_line_stands_still_when_its_head_is_dead_and_blocks(subscription: Subscription) -> None:
    first, second = plan(subscription, "a", "a")

    assert die(first) == []

    assert wake() == []
    assert in_line() == ids(first, second)
    assert parked() == {second.pk}


def test_line_goes_on_when_its_head_is_dead_and_is_skipped(skipping: Subscription) -> None:
    first, second = plan(skipping, "a", "a")

    assert die(first) == [second.pk]
    assert in_line() == [second.pk]


def test_line_goes_on_when_block_is_changed_to_skip(subscription: Subscription) -> None:
    first, second, third = plan(subscription, "a", "a", "a")
    die(first)
    switch(subscription, Ordering.SKIP)

    assert wake() == [second.pk]
    assert parked() == {third.pk}


# --- Replays ---


def test_dead_head_goes_and_its_line_after_it_when_it_is_replayed(subscription: Subscription) -> None:
    first, second = plan(subscription, "a", "a")
    die(first)

    assert reopen(first) == set()
    assert wake() == []
    assert parked() == {second.pk}
    assert end(first) == [second.pk]


def test_replay_goes_freely_when_it_stands_in_no_line(skipping: Subscription) -> None:
    first, second, third = plan(skipping, "a", "a", "a")
    die(first)

    assert reopen(first) == set()

    assert parked() == {third.pk}
    assert end(first) == []
    assert end(second) == [third.pk]


def test_replay_waits_when_it_stands_behind_others(subscription: Subscription) -> None:
    first, second, third = plan(subscription, "a", "a", "a")
    die(second)

    assert reopen(second) == {second.pk}

    assert parked() == {second.pk, third.pk}
    assert end(first) == [second.pk]
    assert end(second) == [third.pk]


# --- Switched on and off ---


def test_open_ones_from_before_are_not_waited_for_when_ordering_is_switched_on() -> None:
    subscription = ordered_subscription(Ordering.NONE)
    before = DeliveryFactory(subscription=subscription)
    switch(subscription, Ordering.BLOCK)

    _, second = plan(subscription, "a", "a")

    assert parked() == {second.pk}
    assert end(before) == []


@pytest.mark.parametrize("delete", [False, True])
def test_all_that_wait_are_let_go_in_order_when_ordering_is_switched_off(
    subscription: Subscription, delete: bool
) -> None:
    first, second, third, other = plan(subscription, "a", "a", "a", "b")
    die(first)
    if delete:
        subscription.delete()
    else:
        switch(subscription, Ordering.NONE)

    assert wake() == [second.pk, third.pk]
    assert in_line() == []
    assert parked() == set()
    assert end(other) == []


# --- The safety net ---


def test_line_that_stands_still_goes_on_when_the_sweep_looks(subscription: Subscription) -> None:
    first, second, third = plan(subscription, "a", "a", "a")
    Delivery.objects.filter(pk=first.pk).update(status=DeliveryStatus.DELIVERED)

    assert wake() == [second.pk]
    assert wake() == []
    assert in_line() == ids(second, third)


def test_head_that_is_parked_is_let_go_when_the_sweep_looks(subscription: Subscription) -> None:
    (head,) = plan(subscription, "a")
    Delivery.objects.filter(pk=head.pk).update(held_reason="ordering")

    assert wake() == [head.pk]
    assert parked() == set()


def test_every_line_is_seen_when_there_are_more_than_one_pass_looks_at(
    subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.order.ordering.WAKE_KEYS_MOST", 3)
    heads = plan(subscription, *"abcdefgh")
    Delivery.objects.filter(pk__in=ids(*heads)).update(held_reason="ordering")

    found = [set(wake()) for _ in range(4)]

    assert [len(each) for each in found[:2]] == [3, 3]
    assert set.union(*found) == set(ids(*heads))


def test_lines_share_a_bounded_number_of_locks_when_a_batch_has_many_keys(subscription: Subscription) -> None:
    """PostgreSQL's table of locks is shared by all, and a batch may bring thousands of keys. Of so many each stripe gets one:
    that one stays empty has a chance of 10^-32."""
    keys = [order_key(subscription.pk, str(number)) for number in range(20_000)]

    assert len({key.int % STRIPES for key in keys}) == STRIPES <= 256
