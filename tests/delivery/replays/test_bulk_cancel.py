"""Jobs that cancel many open deliveries: what they take, what they leave, what they meet."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from delivery.models import Delivery, Dispatch, OrderedDelivery, ReplayAction, ReplayJob
from delivery.order.order_key import order_key
from delivery.replays import run, service
from delivery.replays.criteria import ENDED, OPEN, Criteria
from subscriptions.models import Ordering, Subscription
from tests.delivery.order.lines import in_line, parked
from tests.delivery.replays.desk import ACTOR, many_dead, one, running, work_off
from tests.factories import EventFactory, SubscriptionFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queues")]
SECOND = timedelta(seconds=1)


def many_open(count: int, subscription: Subscription | None = None) -> list[Delivery]:
    rows = many_dead(count, subscription)
    Delivery.objects.update(status="retrying", finished_at=None, dead_at=None, dead_reason="", due_at=timezone.now())
    return rows


def cancelling(criteria: Criteria, **options: object) -> ReplayJob:
    return running(replace(criteria, statuses=OPEN), 5_000.0, action=ReplayAction.CANCEL, **options)  # type: ignore[arg-type]


def statuses_of(rows: list[Delivery]) -> list[str]:
    now = dict(Delivery.objects.values_list("pk", "status"))
    return [now[row.pk] for row in rows]


def test_thousands_end_in_a_few_steps_and_no_worker_has_to_make_room() -> None:
    rows = many_open(2_500)
    for _ in range(run.OUTSTANDING_MOST):
        Dispatch.objects.create(lane="retry", delivery_ids=[], lease_until=timezone.now() + SECOND)
    job = cancelling(Criteria(tenant_id=rows[0].tenant_id), approved=True)
    assert job.started_at is not None
    steps, now = 0, job.started_at + SECOND
    while run.step(now) and steps < 10:
        steps += 1
    job.refresh_from_db()
    assert (job.state, job.queued, job.skipped) == ("done", 2_500, 0)
    assert set(statuses_of(rows)) == {"cancelled"}
    assert Dispatch.objects.count() == run.OUTSTANDING_MOST


def test_what_has_ended_meanwhile_is_skipped_and_stays_as_it_ended() -> None:
    rows = many_open(5)
    job = cancelling(Criteria(tenant_id=rows[0].tenant_id))
    Delivery.objects.filter(pk__in=[rows[1].pk, rows[3].pk]).update(status="delivered")
    work_off(job)
    assert statuses_of(rows) == ["cancelled", "delivered", "cancelled", "delivered", "cancelled"]
    assert (job.queued, job.skipped) == (3, 2)


def test_lines_go_on_behind_those_that_are_cancelled() -> None:
    rows = many_open(4, SubscriptionFactory(ordering=Ordering.BLOCK))
    line = order_key(rows[0].subscription_id, "acme|payments")
    for row in rows:
        OrderedDelivery.objects.create(order_key=line, subscription_id=row.subscription_id, delivery_id=row.pk)
    Delivery.objects.filter(pk__in=[row.pk for row in rows[1:]]).update(held_reason="ordering", due_at=None)
    job = cancelling(Criteria(ids=(rows[0].pk, rows[2].pk)))
    work_off(job)
    assert statuses_of(rows) == ["cancelled", "retrying", "cancelled", "retrying"]
    assert Dispatch.objects.get().delivery_ids == [rows[1].pk]
    assert (in_line(), parked()) == ([rows[1].pk, rows[3].pk], {rows[3].pk})


def test_more_than_a_person_may_cancel_alone_needs_a_second_one(settings: object) -> None:
    settings.APPROVAL_REPLAY_COUNT = 2  # type: ignore[attr-defined]
    rows = many_open(3)
    criteria = Criteria(tenant_id=rows[0].tenant_id, statuses=OPEN)
    job = service.draft(criteria, ACTOR, action=ReplayAction.CANCEL)
    assert "It takes 3 deliveries, more than 2. A second person" in service.start(job.pk, ACTOR)
    assert set(statuses_of(rows)) == {"retrying"}
    assert service.start(job.pk, ACTOR, approved=True) == ""
    work_off(service.job_of(job.pk))
    assert set(statuses_of(rows)) == {"cancelled"}


@pytest.mark.parametrize(
    ("criteria", "taken"),
    [
        (Criteria(tags=("canary", "x")), ["tagged"]),
        (Criteria(codes=("5xx",)), ["tagged", "plugin", "trace"]),
        (Criteria(codes=("503", "none")), ["tagged", "plugin", "trace", "unanswered", "timed out"]),
        (Criteria(codes=("4xx",)), ["refused"]),
        (Criteria(errors=("timeout", "dns")), ["timed out"]),
        (Criteria(search="com.acme.pay"), ["plugin"]),
        (Criteria(search="com.acme.pay@2.1.0"), ["plugin"]),
        (Criteria(search="com.acme.pay@2.1.1"), []),
        (Criteria(search="2.1.0"), ["plugin"]),
        (Criteria(search="4bf92f3577b34da6a3ce929d0e0e4736"), ["trace"]),
        (Criteria(search="id of refused"), ["refused"]),
        (Criteria(search="event of timed out"), ["timed out"]),
    ],
)  # fmt: skip
def test_every_filter_of_the_list_narrows_what_is_taken(criteria: Criteria, taken: list[str]) -> None:
    of = SubscriptionFactory()
    plugin = EventFactory(tenant=of.tenant, subject="com.acme.pay", version="2.1.0")
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01"
    rows = {
        "tagged": one(subscription=of, retrying=True, event__tags=["canary", "eu"]),
        "plugin": one(subscription=of, retrying=True, event=plugin),
        "trace": one(subscription=of, retrying=True, event__traceparent=trace),
        "refused": one(subscription=of, retrying=True, last_status_code=404),
        "unanswered": one(subscription=of),
        "timed out": one(subscription=of, retrying=True, last_status_code=None, last_error_kind="timeout"),
    }
    Delivery.objects.update(due_at=None)
    words = criteria.search
    for name, row in rows.items():
        words = {f"id of {name}": str(row.pk), f"event of {name}": str(row.event_id)}.get(words, words)
    job = cancelling(replace(criteria, tenant_id=of.tenant_id, search=words))
    work_off(job)
    assert [name for name, row in rows.items() if Delivery.objects.get(pk=row.pk).status == "cancelled"] == taken
    assert job.total == len(taken)


@pytest.mark.django_db(transaction=True)
def test_one_that_a_worker_has_in_hand_is_looked_at_again() -> None:
    rows = many_open(3)
    job = cancelling(Criteria(tenant_id=rows[0].tenant_id))
    assert job.started_at is not None
    now = job.started_at + SECOND
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Delivery.objects.select_for_update().get(pk=rows[1].pk)
            stepped = pool.submit(_closing_step, job, now).result(30)
        assert (stepped.queued, stepped.more) == (2, False)
        assert statuses_of(rows) == ["cancelled", "retrying", "cancelled"]
        Delivery.objects.filter(pk=rows[1].pk).update(status="delivered")
    work_off(service.job_of(job.pk))
    job.refresh_from_db()
    assert (job.state, job.queued, job.skipped) == ("done", 2, 1)
    assert statuses_of(rows) == ["cancelled", "delivered", "cancelled"]


@pytest.mark.django_db(transaction=True)
def test_each_ends_one_way_when_a_replay_and_a_cancel_of_the_same_run_at_once() -> None:
    """The replay opens what the cancel looks for: what it opened before the cancel came by is cancelled, the rest goes."""
    rows = many_dead(300)
    tenant = rows[0].tenant_id
    again = running(Criteria(tenant_id=tenant, statuses=ENDED), 5_000.0)
    gone = cancelling(Criteria(tenant_id=tenant), approved=True)
    ReplayJob.objects.filter(pk=gone.pk).update(note="Counting was cut short: there are at least so many.")
    meet = threading.Barrier(2)
    at = max(job.stepped_at for job in (again, gone) if job.stepped_at) + SECOND

    def stepping(job: ReplayJob) -> None:
        meet.wait(30)
        _closing_step(job, at)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(stepping, job) for job in (again, gone)]:
            done.result(30)
    for job in (again, gone):
        job.refresh_from_db()
    found = statuses_of(rows)
    assert again.queued == 300
    assert found.count("cancelled") == gone.queued
    assert found.count("pending") == 300 - gone.queued


def _closing_step(job: ReplayJob, now: object) -> run.Stepped:
    try:
        return run.step_job(job.pk, 1_000, now)  # type: ignore[arg-type]
    finally:
        connection.close()
