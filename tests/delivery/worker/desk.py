"""What tests of the worker use: deliveries made ready to send, and one worker to run them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from delivery import store
from delivery.models import Delivery, Dispatch, DispatchLane
from delivery.states import OPEN_STATUSES
from delivery.store import Hint, NewDispatch
from delivery.worker.process import WorkerParts
from subscriptions.models import Endpoint, Subscription
from tests.factories import DeliveryFactory, EndpointFactory, SubscriptionFactory
from tests.waiting import eventually

Make = Callable[..., Delivery]


class Desk:
    """One worker, with what it did so far."""

    def __init__(self, parts: WorkerParts) -> None:
        self.runner = parts.runner
        self.recorder = parts.recorder
        self.transports = parts.transports
        self._parts = parts
        self._closed = False

    def run(self, hint: Hint) -> int:
        return self.runner.run(hint.dispatch_id, hint.token)

    def deliver(self, *deliveries: Delivery) -> None:
        """Runs a first dispatch of them and waits until every result is recorded."""
        hint = dispatch(deliveries)
        assert self.run(hint) == len(deliveries)
        ended(hint)
        for delivery in deliveries:
            delivery.refresh_from_db()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._parts.close(5.0)


def make_delivery(
    url: str, *, endpoint: Endpoint | None = None, subscription: Subscription | None = None, **changes: object
) -> Delivery:
    """Pending, to an endpoint without a secret. `policy`, `endpoint__…` and `event__…` reach those rows."""
    of_endpoint = {
        name.removeprefix("endpoint__"): changes.pop(name) for name in list(changes) if name.startswith("endpoint__")
    }
    policy = changes.pop("policy", None)
    if subscription is None:
        subscription = SubscriptionFactory(
            endpoint=endpoint or EndpointFactory(url=url, **of_endpoint), retry_policy=policy
        )
    made: Delivery = DeliveryFactory(subscription=subscription, **changes)
    return made


def dispatch(deliveries: Sequence[Delivery], lane: str = DispatchLane.FAST, not_before: datetime | None = None) -> Hint:
    """A dispatch that nobody has claimed."""
    batch = NewDispatch(lane, [delivery.pk for delivery in deliveries], not_before)
    return store.insert_dispatches([batch], 10.0, timezone.now())[0]


def ended(hint: Hint, timeout: float = 15.0) -> None:
    """Every result of the dispatch is recorded: its row is gone."""
    eventually(lambda: not Dispatch.objects.filter(pk=hint.dispatch_id).exists(), timeout, every_s=0.01)


def sweep_takes(dispatch_id: int) -> Hint:
    """The dispatch's lease runs out and the sweep gives it a new token; in one step, or its holder may renew it between."""
    with transaction.atomic():
        Dispatch.objects.filter(pk=dispatch_id).update(lease_until=timezone.now() - timedelta(seconds=1))
        return next(
            hint for hint in store.release_expired(100, 10.0, DispatchLane.values) if hint.dispatch_id == dispatch_id
        )


def stuck() -> list[UUID]:
    """Open deliveries that nobody would ever look at again: in no dispatch, and not waiting for the sweep."""
    covered = {delivery for row in Dispatch.objects.all() for delivery in row.delivery_ids}
    return [row.pk for row in Delivery.objects.filter(status__in=OPEN_STATUSES, due_at=None) if row.pk not in covered]
