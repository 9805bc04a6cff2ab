"""What tests of replays use: ended deliveries in numbers, and a job that is worked off on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from audit.trail import Actor
from delivery.models import Delivery, Dispatch, ReplayAction, ReplayJob
from delivery.replays import run, service
from delivery.replays.criteria import Criteria
from eventcenter.ids import derived_id
from eventcenter.models import Event
from subscriptions.models import Subscription
from tests.factories import DeliveryFactory, EventFactory, SubscriptionFactory

ACTOR = Actor("user:eva", "192.0.2.1")


def many_dead(count: int, subscription: Subscription | None = None, age_s: float = 600.0) -> list[Delivery]:
    """Dead deliveries, a millisecond apart, oldest first; made in bulk."""
    of = subscription or SubscriptionFactory()
    first = timezone.now() - timedelta(seconds=age_s)
    events = EventFactory.build_batch(count, tenant=of.tenant)
    for number, event in enumerate(events):
        event.id = UUID(int=(_floor(first + timedelta(milliseconds=number)) << 80) | (event.id.int & ((1 << 80) - 1)))
    Event.objects.bulk_create(events)
    rows = [
        Delivery(
            id=derived_id(event.id, of.pk),
            tenant=of.tenant,
            event=event,
            subscription=of,
            endpoint=of.endpoint,
            status="dead",
            attempts=10,
            tries=10,
            round_at=first,
            finished_at=first,
            dead_at=first,
            dead_reason="spent",
        )
        for event in events
    ]
    return Delivery.objects.bulk_create(rows)


def _floor(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def one(**values: Any) -> Delivery:
    """One delivery, planned ten minutes ago unless it says otherwise."""
    made: Delivery = DeliveryFactory(**{"accepted_at": timezone.now() - timedelta(minutes=10), **values})
    return made


def running(
    criteria: Criteria,
    rate_per_s: float = 1_000.0,
    now: datetime | None = None,
    *,
    approved: bool = False,
    action: ReplayAction = ReplayAction.REPLAY,
) -> ReplayJob:
    """A job that was started at `now`."""
    moment = now or timezone.now()
    job = service.draft(criteria, ACTOR, rate_per_s, now=moment, action=action)
    assert service.start(job.pk, ACTOR, moment, approved=approved) == ""
    return service.job_of(job.pk)


def work_off(job: ReplayJob, steps: int = 200) -> datetime:
    """Steps, a second of the test's clock apart and with workers that take every dispatch, until the job has ended."""
    now = job.stepped_at or timezone.now()
    for _ in range(steps):
        now += timedelta(seconds=1)
        run.step(now)
        Dispatch.objects.update(not_before=now)  # out of the way: the room is for what waits for a worker
        job.refresh_from_db()
        if job.state in service.ENDS:
            return now
    raise AssertionError(f"still {job.state} after {steps} steps: {job.queued} of {job.total}")


def replays_of(deliveries: Sequence[Delivery]) -> list[int]:
    """How often each was replayed, in their order."""
    now = dict(Delivery.objects.filter(pk__in=[row.pk for row in deliveries]).values_list("pk", "replays"))
    return [now[row.pk] for row in deliveries]


def dispatched() -> list[UUID]:
    """Deliveries in dispatches, in the order of these."""
    return [item for row in Dispatch.objects.order_by("pk") for item in row.delivery_ids]
