"""What tests of ordering use: deliveries that stand in lines, put there and taken out as ingest and recorder do it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from delivery.models import Delivery, OrderedDelivery
from delivery.order import ordering
from delivery.order.order_key import order_key
from delivery.order.ordering import Ended, Ordered
from delivery.states import OPEN_STATUSES, DeliveryStatus
from subscriptions.models import Ordering, Subscription
from tests.factories import DeliveryFactory, SubscriptionFactory


def ordered_subscription(ordering: str = Ordering.BLOCK) -> Subscription:
    made: Subscription = SubscriptionFactory(ordering=ordering)
    return made


def unplanned(subscription: Subscription) -> Delivery:
    """A delivery whose event exists; not in the database yet."""
    made: Delivery = DeliveryFactory(subscription=subscription)
    Delivery.objects.filter(pk=made.pk).delete()
    return made


def plan(subscription: Subscription, *keys: str) -> list[Delivery]:
    """One delivery for each partition key, as one ingest plans them."""
    deliveries = [unplanned(subscription) for _ in keys]
    ingest(deliveries, keys)
    return deliveries


def ingest(deliveries: Sequence[Delivery], keys: Sequence[str]) -> list[UUID]:
    """Returns those that would be dispatched."""
    items = [
        Ordered(row.pk, row.subscription_id, order_key(row.subscription_id, key))
        for row, key in zip(deliveries, keys, strict=True)
    ]
    with transaction.atomic():
        waiting = ordering.enqueue(items)
        for row in deliveries:
            row.held_reason = "ordering" if row.pk in waiting else ""
            row.next_attempt_at = timezone.now() if row.pk in waiting else None
        Delivery.objects.bulk_create(deliveries)
    return [row.pk for row in deliveries if row.pk not in waiting]


def end(*deliveries: Delivery, status: str = DeliveryStatus.DELIVERED) -> list[UUID]:
    """They end as a recorder has it. Returns those whose turn it is then."""
    with transaction.atomic():
        Delivery.objects.filter(pk__in=[row.pk for row in deliveries]).update(
            status=status, held_reason="", finished_at=timezone.now()
        )
        ended = [Ended(row.pk, row.subscription_id, status) for row in deliveries]
        return ordering.finish(ended, ordering.orderings_of(row.subscription_id for row in deliveries))


def die(*deliveries: Delivery) -> list[UUID]:
    return end(*deliveries, status=DeliveryStatus.DEAD)


def reopen(*deliveries: Delivery) -> set[UUID]:
    """A replay of them. Returns those that wait."""
    ids = [row.pk for row in deliveries]
    with transaction.atomic():
        Delivery.objects.filter(pk__in=ids).update(status=DeliveryStatus.PENDING, tries=0, held_reason="")
        return ordering.on_replayed(ids)


def wake() -> list[UUID]:
    with transaction.atomic():
        return ordering.wake()


def in_line() -> list[UUID]:
    """What stands in any line, the oldest first."""
    return list(OrderedDelivery.objects.order_by("seq").values_list("delivery_id", flat=True))


def parked() -> set[UUID]:
    waiting = Delivery.objects.filter(held_reason="ordering", status__in=OPEN_STATUSES)
    return set(waiting.values_list("pk", flat=True))
