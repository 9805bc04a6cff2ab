from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import InternalError, connection, transaction
from django.utils import timezone

from audit.models import AuditEntry
from delivery.bench.processes import Fleet
from delivery.models import Delivery, Dispatch, OrderedDelivery, ReplayJob, ReplayState
from delivery.order import ordering
from delivery.order.order_key import order_key
from delivery.planning import DISPATCH_DELIVERIES
from delivery.replays import run, service
from delivery.replays.criteria import ENDED, MISSED, Criteria, gap
from delivery.replays.run import LOOKS_MOST, OUTSTANDING_MOST, STEP_MOST, allowance
from delivery.states import DeliveryStatus
from delivery.store import NewDispatch, insert_dispatches
from eventcenter.models import Event
from subscriptions.models import Endpoint, EndpointState, Ordering
from tests.delivery.conftest import HintsIn
from tests.delivery.replays.desk import ACTOR, dispatched, many_dead, one, replays_of, running, work_off
from tests.delivery.worker.desk import stuck
from tests.factories import DeliveryFactory, EndpointFactory, SubscriptionFactory, TenantFactory
from tests.waiting import eventually

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queues")]
SECOND = timedelta(seconds=1)


# --- What is taken ---


def test_every_delivery_begins_one_new_round_and_is_dispatched_in_order() -> None:
    rows = many_dead(250)
    job = running(Criteria(tenant_id=rows[0].tenant_id))
    ended_at = work_off(job)
    assert (job.total, job.queued, job.skipped, job.state) == (250, 250, 0, "done")
    assert job.finished_at == ended_at
    assert replays_of(rows) == [1] * 250
    assert dispatched() == [row.pk for row in rows]
    assert {len(row.delivery_ids) for row in Dispatch.objects.all()} == {DISPATCH_DELIVERIES, 50}
    assert set(Dispatch.objects.values_list("lane", flat=True)) == {"retry"}
    fresh = Delivery.objects.first()
    assert fresh is not None
    assert (fresh.status, fresh.tries, fresh.attempts, fresh.dead_at, fresh.dead_reason) == ("pending", 0, 10, None, "")
    assert fresh.round_at == ended_at
    assert not stuck()


def test_hints_go_out_after_the_step(hints_in: HintsIn) -> None:
    rows = many_dead(3)
    job = running(Criteria(tenant_id=rows[0].tenant_id))
    work_off(job)
    assert hints_in("retry") == [[Dispatch.objects.get().pk, 0]]


def kinds() -> dict[str, Delivery]:
    """One delivery of each kind that a filter tells apart, all of one tenant and endpoint unless their name says otherwise."""
    subscription = SubscriptionFactory()
    same_endpoint = SubscriptionFactory(endpoint=subscription.endpoint)
    same_tenant = SubscriptionFactory(endpoint=EndpointFactory(tenant=subscription.tenant))
    old = timezone.now() - timedelta(days=3)
    return {
        "dead": one(subscription=subscription, dead=True),
        "delivered": one(subscription=subscription, delivered=True),
        "cancelled": one(subscription=subscription, status="cancelled"),
        "pending": one(subscription=subscription),
        "retrying": one(subscription=subscription, retrying=True),
        "old": one(subscription=subscription, dead=True, accepted_at=old),
        "old, died now": one(subscription=subscription, dead=True, accepted_at=old, dead_at=timezone.now()),
        "old, cancelled": one(subscription=subscription, status="cancelled", accepted_at=old),
        "other type": one(subscription=subscription, dead=True, event__type="plugin.release.withdrawn"),
        "other subscription": one(subscription=same_endpoint, dead=True),
        "other endpoint": one(subscription=same_tenant, dead=True),
        "other tenant": one(dead=True),
    }


HOUR_AGO = timezone.now() - timedelta(hours=1)
RECENT = ["dead", "delivered", "cancelled", "other type"]
DEAD = ["dead", "old", "old, died now", "other type", "other subscription", "other endpoint"]


@pytest.mark.parametrize(
    ("criteria", "taken"),
    [
        (Criteria(tenant_id=1), DEAD),
        (Criteria(tenant_id=1, endpoint_id=1), DEAD[:-1]),
        (Criteria(tenant_id=1, subscription_id=1), DEAD[:-2]),
        (Criteria(statuses=("dead",)), [*DEAD, "other tenant"]),
        (Criteria(tenant_id=1, subscription_id=1, statuses=ENDED, since=HOUR_AGO), RECENT),
        (Criteria(tenant_id=1, since=HOUR_AGO), ["dead", "other type", "other subscription", "other endpoint"]),
        (Criteria(tenant_id=1, until=HOUR_AGO), ["old", "old, died now"]),
        (Criteria(tenant_id=1, types=("plugin.release.withdrawn", "x")), ["other type"]),
        (gap(1, HOUR_AGO), ["dead", "cancelled", "old, died now", "other type", "other subscription"]),
        (Criteria(tenant_id=1, statuses=MISSED, ended_since=timezone.now() + timedelta(days=1)), []),
    ],
)  # fmt: skip
def test_what_fits_and_nothing_else_is_replayed(criteria: Criteria, taken: list[str]) -> None:
    rows = kinds()
    of = rows["dead"]
    job = running(
        replace(
            criteria,
            tenant_id=criteria.tenant_id and of.tenant_id,
            endpoint_id=criteria.endpoint_id and of.endpoint_id,
            subscription_id=criteria.subscription_id and of.subscription_id,
        )
    )
    work_off(job)
    assert sorted(name for name, row in rows.items() if replays_of([row]) == [1]) == sorted(taken)
    assert (job.total, job.queued, job.skipped) == (len(taken), len(taken), 0)


def test_a_selection_takes_its_ids_alone_whatever_their_end() -> None:
    rows = kinds()
    chosen = [rows[name] for name in ("dead", "delivered", "cancelled", "pending", "other tenant")]
    job = running(Criteria(ids=(*(row.pk for row in chosen), uuid4()), statuses=ENDED))
    work_off(job)
    assert replays_of(chosen) == [1, 1, 1, 0, 1]
    assert job.queued == Delivery.objects.filter(replays=1).count() == 4


def test_an_event_takes_all_its_ended_deliveries() -> None:
    first = one(dead=True)
    event = first.event
    others = [
        DeliveryFactory(event=event, subscription=SubscriptionFactory(endpoint__tenant=first.tenant), **state)
        for state in ({"delivered": True}, {"status": "cancelled"}, {"retrying": True})
    ]
    same_millisecond = one(dead=True)
    job = running(Criteria(event_id=event.pk, statuses=ENDED, tenant_id=first.tenant_id))
    work_off(job)
    assert replays_of([first, *others, same_millisecond]) == [1, 1, 1, 0, 0]


def test_a_delivery_planned_after_the_draft_is_no_part_of_it() -> None:
    row = many_dead(1)[0]
    job = running(Criteria(tenant_id=row.tenant_id), now=timezone.now() - timedelta(minutes=5))
    later = one(subscription=row.subscription, dead=True, accepted_at=timezone.now() - timedelta(minutes=1))
    work_off(job)
    assert replays_of([row, later]) == [1, 0]


def test_a_replayed_delivery_that_dies_again_is_not_taken_again() -> None:
    rows = many_dead(30)
    job = running(Criteria(tenant_id=rows[0].tenant_id), rate_per_s=10)
    assert job.started_at is not None
    run.step(job.started_at + SECOND)
    assert replays_of(rows) == [1] * 10 + [0] * 20
    Delivery.objects.filter(replays=1).update(status="dead", dead_at=timezone.now())
    work_off(job)
    assert replays_of(rows) == [1] * 30


def test_few_that_fit_are_found_among_many_that_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LOOKS_MOST", 7)
    many = many_dead(40)
    wanted = [many[0], many[20], many[39]]
    Delivery.objects.exclude(pk__in=[row.pk for row in wanted]).update(status="delivered", dead_at=None)
    job = running(Criteria(tenant_id=many[0].tenant_id, statuses=("dead", "cancelled")))
    assert job.started_at is not None
    now, steps = job.started_at + SECOND, 1
    while run.step(now):
        steps += 1
    assert steps >= 40 / 14, "each step looks twice at most, at a bounded number of rows"
    assert replays_of(wanted) == [1, 1, 1]
    assert LOOKS_MOST >= STEP_MOST


# --- What is skipped ---


def test_what_cannot_be_sent_is_skipped_counted_and_told() -> None:
    rows = many_dead(4)
    other = many_dead(2, SubscriptionFactory(endpoint__tenant=rows[0].tenant))
    deleted = many_dead(3, SubscriptionFactory(endpoint__tenant=rows[0].tenant))
    Event.objects.filter(pk=rows[1].event_id).delete()
    Endpoint.objects.filter(pk=other[0].endpoint_id).update(state=EndpointState.DISABLED)
    Endpoint.objects.filter(pk=deleted[0].endpoint_id).delete()
    job = running(Criteria(tenant_id=rows[0].tenant_id))
    work_off(job)
    assert (job.total, job.queued, job.skipped) == (9, 3, 6)
    assert job.note.startswith("The last one that was skipped: Its endpoint ")
    assert replays_of(rows + other + deleted) == [1, 0, 1, 1, 0, 0, 0, 0, 0]
    assert dispatched() == [rows[0].pk, rows[2].pk, rows[3].pk]


def test_what_changed_since_the_count_is_among_the_skipped() -> None:
    rows = many_dead(5)
    job = running(Criteria(tenant_id=rows[0].tenant_id))
    Delivery.objects.filter(pk=rows[2].pk).update(status="delivered", dead_at=None)
    work_off(job)
    assert (job.queued, job.skipped) == (4, 1)
    assert "1 had changed" in job.note


def test_a_paused_endpoints_deliveries_are_replayed_and_wait_there() -> None:
    rows = many_dead(2)
    Endpoint.objects.update(state=EndpointState.PAUSED)
    job = running(Criteria(tenant_id=rows[0].tenant_id))
    work_off(job)
    assert job.queued == 2


def test_only_the_head_of_an_ordered_line_goes_and_the_next_waits_for_it() -> None:
    rows = many_dead(3, SubscriptionFactory(ordering=Ordering.BLOCK))
    line = order_key(rows[0].subscription_id, "acme|payments")
    for row in rows[:2]:
        OrderedDelivery.objects.create(order_key=line, subscription_id=row.subscription_id, delivery_id=row.pk)
    job = running(Criteria(tenant_id=rows[0].tenant_id))
    work_off(job)
    assert (job.queued, replays_of(rows)) == (3, [1, 1, 1])
    assert dispatched() == [rows[0].pk, rows[2].pk], "the third stands in no line any more"
    assert Delivery.objects.get(pk=rows[1].pk).held_reason == "ordering"
    Delivery.objects.filter(pk=rows[0].pk).update(status="delivered")
    ended = ordering.Ended(rows[0].pk, rows[0].subscription_id, "delivered")
    assert ordering.finish([ended], {rows[0].subscription_id: "block"}) == [rows[1].pk]


# --- Rate and room ---


def test_allowance_is_what_the_rate_earned() -> None:
    now = timezone.now()
    assert allowance(10, now, now)[0] == 0
    assert allowance(10, now - timedelta(milliseconds=250), now)[0] == 2
    assert allowance(10, now - SECOND, now) == (10, now - SECOND)
    assert allowance(10, now - timedelta(hours=1), now) == (10, now - SECOND), "a rest is not caught up on"
    assert allowance(0.1, now - timedelta(seconds=9.9), now)[0] == 0
    assert allowance(0.3, now - timedelta(hours=1), now)[0] == 1
    assert allowance(10, None, now)[0] == 0


@pytest.mark.parametrize("rate", [0.5, 7.0, 40.0])
def test_no_more_than_the_rate_is_taken(rate: float) -> None:
    rows = many_dead(300)
    job = running(Criteria(tenant_id=rows[0].tenant_id), rate_per_s=rate)
    assert job.started_at is not None
    taken = []
    for quarter in range(1, 25):
        run.step(job.started_at + timedelta(seconds=quarter / 4))
        job.refresh_from_db()
        taken.append(job.queued)
    assert all(count <= rate * (quarter + 1) / 4 for quarter, count in enumerate(taken))
    assert taken[-1] == int(rate * 6)


def test_a_rest_is_not_caught_up_on() -> None:
    rows = many_dead(50)
    job = running(Criteria(tenant_id=rows[0].tenant_id), rate_per_s=10)
    assert job.started_at is not None
    run.step(job.started_at + timedelta(minutes=10))
    job.refresh_from_db()
    assert job.queued == 10


def test_nothing_is_taken_while_many_dispatches_wait() -> None:
    rows = many_dead(300)
    waiting = [NewDispatch("retry", [uuid4()]) for _ in range(OUTSTANDING_MOST)]
    later = [NewDispatch("retry", [uuid4()], timezone.now() + SECOND), NewDispatch("fast", [uuid4()])]
    insert_dispatches(waiting + later, 10.0, timezone.now())
    job = running(Criteria(tenant_id=rows[0].tenant_id))
    assert job.started_at is not None
    assert not run.step(job.started_at + SECOND)
    assert replays_of(rows) == [0] * 300
    Dispatch.objects.filter(lane="retry", not_before=None).first().delete()  # type: ignore[union-attr]
    run.step(job.started_at + SECOND)
    assert replays_of(rows) == [1] * DISPATCH_DELIVERIES + [0] * 200, "as many as there is room for"


def test_running_jobs_take_turns() -> None:
    first, second = many_dead(20), many_dead(20)
    jobs = [running(Criteria(tenant_id=rows[0].tenant_id), rate_per_s=5) for rows in (first, second)]
    assert jobs[1].started_at is not None
    run.step(jobs[1].started_at + SECOND)
    assert [sum(replays_of(rows)) for rows in (first, second)] == [5, 5]


# --- States ---


@pytest.mark.parametrize("state", [ReplayState.DRAFT, ReplayState.PAUSED, ReplayState.CANCELLED, ReplayState.DONE])
def test_only_a_running_job_takes(state: ReplayState) -> None:
    rows = many_dead(2)
    job = running(Criteria(tenant_id=rows[0].tenant_id))
    ReplayJob.objects.update(state=state)
    assert not run.step(timezone.now() + SECOND)
    assert run.step_job(job.pk, 1_000, timezone.now() + SECOND).queued == 0
    assert replays_of(rows) == [0, 0]
    assert not Dispatch.objects.exists()


def test_paused_job_goes_on_where_it_was_when_resumed() -> None:
    rows = many_dead(25)
    job = running(Criteria(tenant_id=rows[0].tenant_id), rate_per_s=10)
    assert job.started_at is not None
    run.step(job.started_at + SECOND)
    assert service.pause(job.pk, ACTOR) == ""
    run.step(job.started_at + 5 * SECOND)
    assert sum(replays_of(rows)) == 10
    assert service.resume(job.pk, ACTOR, job.started_at + 60 * SECOND) == ""
    job.refresh_from_db()
    work_off(job)
    assert replays_of(rows) == [1] * 25
    assert (job.queued, job.skipped) == (25, 0)


def test_cancelled_job_leaves_the_rest_as_it_was() -> None:
    rows = many_dead(25)
    job = running(Criteria(tenant_id=rows[0].tenant_id), rate_per_s=10)
    assert job.started_at is not None
    run.step(job.started_at + SECOND)
    assert service.cancel(job.pk, ACTOR) == ""
    run.step(job.started_at + 5 * SECOND)
    job.refresh_from_db()
    assert (job.state, job.queued) == ("cancelled", 10)
    assert replays_of(rows) == [1] * 10 + [0] * 15


def test_end_is_in_the_trail() -> None:
    rows = many_dead(3)
    job = running(Criteria(tenant_id=rows[0].tenant_id))
    work_off(job)
    entry = AuditEntry.objects.get(action="replay.finished")
    assert (entry.chain, entry.actor, entry.target) == (rows[0].tenant.slug, "system:replays", f"replay:{job.pk}")
    assert (entry.details["queued"], entry.details["skipped"]) == (3, 0)


def test_job_ends_when_nothing_fits() -> None:
    job = running(Criteria(tenant_id=TenantFactory().pk))
    work_off(job)
    assert (job.total, job.queued, job.skipped, job.note) == (0, 0, 0, "")


# --- Failures and several runners ---


@pytest.fixture
def refused_dispatches(transactional_db: None) -> Iterator[None]:
    """PostgreSQL refuses every new dispatch until the test lifts it: the last thing before a step's commit fails."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_dispatch() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'refused by the test' USING ERRCODE = 'XX000'; END$$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse_dispatch BEFORE INSERT ON delivery_dispatch"
            " FOR EACH ROW EXECUTE FUNCTION refuse_dispatch()"
        )
    yield
    lift_refusal()


def lift_refusal() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION IF EXISTS refuse_dispatch() CASCADE")


def test_nothing_has_happened_when_a_step_fails_before_its_commit(refused_dispatches: None, hints_in: HintsIn) -> None:
    rows = many_dead(20)
    job = running(Criteria(tenant_id=rows[0].tenant_id))
    assert job.started_at is not None
    with pytest.raises(InternalError, match="refused by the test"):
        run.step(job.started_at + SECOND)
    job.refresh_from_db()
    assert (job.cursor, job.queued, job.stepped_at) == (None, 0, job.started_at)
    assert set(Delivery.objects.values_list("status", "replays")) == {("dead", 0)}
    assert hints_in("retry") == []
    lift_refusal()
    work_off(job)
    assert replays_of(rows) == [1] * 20
    assert sorted(dispatched()) == sorted(row.pk for row in rows)


def in_threads(count: int, action: Callable[[], None]) -> None:
    together = threading.Barrier(count)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            together.wait()
            action()
        except BaseException as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


@pytest.mark.django_db(transaction=True)
def test_nothing_is_doubled_or_left_out_when_several_runners_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "STEP_MOST", 7)
    rows = many_dead(600)
    job = running(Criteria(tenant_id=rows[0].tenant_id), rate_per_s=5_000)

    def work() -> None:
        now = timezone.now()
        while ReplayJob.objects.filter(state=ReplayState.RUNNING).exists():
            now += SECOND
            run.step_job(job.pk, 1_000, now)

    in_threads(3, work)
    job.refresh_from_db()
    assert (job.queued, job.skipped) == (600, 0)
    assert replays_of(rows) == [1] * 600
    assert sorted(dispatched()) == sorted(row.pk for row in rows)


@pytest.mark.django_db(transaction=True)
def test_a_delivery_is_replayed_once_when_two_jobs_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "STEP_MOST", 11)
    rows = many_dead(200)
    wanted = Criteria(tenant_id=rows[0].tenant_id)
    jobs = [running(wanted, rate_per_s=5_000), running(wanted, rate_per_s=5_000)]
    waiting = [job.pk for job in jobs]

    def work() -> None:
        job_id, now = waiting.pop(), timezone.now()
        while ReplayJob.objects.filter(pk=job_id, state=ReplayState.RUNNING).exists():
            now += SECOND
            run.step_job(job_id, 1_000, now)

    in_threads(2, work)
    assert replays_of(rows) == [1] * 200
    assert sorted(dispatched()) == sorted(row.pk for row in rows)
    assert sum(ReplayJob.objects.values_list("queued", flat=True)) == 200
    assert set(ReplayJob.objects.values_list("state", flat=True)) == {"done"}


@pytest.mark.django_db(transaction=True)
def test_job_is_left_to_the_runner_that_has_it_in_hand() -> None:
    rows = many_dead(5)
    job = running(Criteria(tenant_id=rows[0].tenant_id))
    taken: list[int] = []
    with transaction.atomic():
        ReplayJob.objects.select_for_update().get(pk=job.pk)

        def other() -> None:
            taken.append(run.step_job(job.pk, 100, timezone.now() + SECOND).queued)
            connection.close()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
        assert not thread.is_alive(), "it waited for the other's job"
    assert taken == [0]
    assert replays_of(rows) == [0] * 5


@pytest.mark.django_db(transaction=True)
def test_job_survives_its_runners_kill(fleet: Fleet) -> None:
    """kill -9 of the process, in the middle; another one goes on."""
    rows = many_dead(1_500)
    job = running(Criteria(tenant_id=rows[0].tenant_id), rate_per_s=400, approved=True)
    for _ in range(3):
        before = service.job_of(job.pk).queued
        part = fleet.start_replays()
        eventually(lambda before=before: service.job_of(job.pk).queued > before, every_s=0.01)
        part.kill()
    job.refresh_from_db()
    assert 0 < job.queued < 1_500
    assert sum(replays_of(rows)) == job.queued
    fleet.start_replays()
    eventually(lambda: service.job_of(job.pk).state == "done", timeout=30)
    assert replays_of(rows) == [1] * 1_500
    assert sorted(dispatched()) == sorted(row.pk for row in rows)
    assert Delivery.objects.filter(status=DeliveryStatus.PENDING).count() == 1_500
    assert not stuck()
