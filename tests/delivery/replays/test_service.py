from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import AuditEntry
from delivery.models import Dispatch, ReplayJob, ReplayState
from delivery.replays import preview, service
from delivery.replays.criteria import Criteria, CriteriaError, gap
from delivery.replays.preview import counted
from tests.delivery.replays.desk import ACTOR, many_dead, one, replays_of, running
from tests.factories import EndpointFactory, TenantFactory

pytestmark = pytest.mark.django_db


def drafted() -> ReplayJob:
    return service.draft(Criteria(tenant_id=many_dead(2)[0].tenant_id), ACTOR)


def test_draft_is_counted_and_replays_nothing() -> None:
    rows = many_dead(7)
    job = service.draft(Criteria(tenant_id=rows[0].tenant_id), ACTOR, 25, "restored")
    assert (job.state, job.total, job.queued, job.skipped, job.note) == ("draft", 7, 0, 0, "")
    assert (job.rate_per_s, job.reason, job.actor) == (25, "restored", "user:eva")
    assert replays_of(rows) == [0] * 7
    assert not Dispatch.objects.exists()
    assert AuditEntry.objects.get().action == "replay.drafted"


def test_tenant_is_that_of_the_endpoint_when_none_is_given() -> None:
    row = many_dead(1)[0]
    job = service.draft(gap(row.endpoint_id, timezone.now() - timedelta(days=1)), ACTOR)
    assert (job.tenant_id, job.total) == (row.tenant_id, 1)
    assert service.describe([job])[0].words.startswith(f"dead or cancelled, of {row.tenant.slug} / {row.endpoint.slug}")


@pytest.mark.parametrize("rate", [0, -1, 5_001, float("nan"), float("inf")])
def test_rate_out_of_bounds_is_refused(rate: float) -> None:
    with pytest.raises(CriteriaError, match="rate_per_s: must be from"):
        service.draft(Criteria(statuses=("dead",)), ACTOR, rate)
    assert not ReplayJob.objects.exists()


def test_what_does_not_belong_together_is_refused() -> None:
    endpoint = EndpointFactory()
    for criteria in (
        Criteria(tenant_id=TenantFactory().pk, endpoint_id=endpoint.pk),
        Criteria(tenant_id=endpoint.tenant_id, endpoint_id=endpoint.pk + 10_000),
        Criteria(endpoint_id=endpoint.pk, subscription_id=one().subscription_id),
    ):
        with pytest.raises(CriteriaError, match="is not known in the tenant"):
            service.draft(criteria, ACTOR)
    assert not ReplayJob.objects.exists()


LEGAL = {
    ("start", "draft"): "running",
    ("pause", "running"): "paused",
    ("resume", "paused"): "running",
    ("cancel", "draft"): "cancelled",
    ("cancel", "running"): "cancelled",
    ("cancel", "paused"): "cancelled",
}


@pytest.mark.parametrize("state", ReplayState.values)
@pytest.mark.parametrize("name", ["start", "pause", "resume", "cancel"])
def test_each_move_is_made_where_it_may_be_and_refused_elsewhere(name: str, state: str) -> None:
    job = drafted()
    ReplayJob.objects.update(state=state)
    refusal = getattr(service, name)(job.pk, ACTOR)
    after, entries = ReplayJob.objects.get(), list(AuditEntry.objects.exclude(action="replay.drafted"))
    if (name, state) in LEGAL:
        assert refusal == ""
        assert after.state == LEGAL[name, state]
        assert [entry.target for entry in entries] == [f"replay:{job.pk}"]
        assert name in service.actions_of(state)
    else:
        assert refusal.startswith(f"It is {ReplayState(state).label.lower()}; only what is ")
        assert after.state == state
        assert entries == []
        assert name not in service.actions_of(state)


def test_times_of_the_moves_are_kept() -> None:
    job, now = drafted(), timezone.now()
    service.start(job.pk, ACTOR, now)
    service.pause(job.pk, ACTOR, now + timedelta(seconds=1))
    service.resume(job.pk, ACTOR, now + timedelta(seconds=2))
    service.cancel(job.pk, ACTOR, now + timedelta(seconds=3))
    job.refresh_from_db()
    assert (job.started_at, job.stepped_at) == (now, now + timedelta(seconds=2))
    assert job.finished_at == now + timedelta(seconds=3)


def test_trail_says_who_moved_what_and_why() -> None:
    rows = many_dead(2)
    job = service.draft(Criteria(tenant_id=rows[0].tenant_id), ACTOR, reason="restored")
    service.start(job.pk, ACTOR)
    drafted_first, entry = AuditEntry.objects.order_by("pk")
    assert (drafted_first.action, drafted_first.details) == ("replay.drafted", entry.details)
    assert (entry.chain, entry.actor, entry.address) == (rows[0].tenant.slug, "user:eva", "192.0.2.1")
    assert (entry.action, entry.target) == ("replay.started", f"replay:{job.pk}")
    assert entry.details == {
        "criteria": {"tenant": rows[0].tenant_id, "status": ["dead"]},
        "rate_per_s": 100.0,
        "total": 2,
        "queued": 0,
        "skipped": 0,
        "reason": "restored",
    }


def test_replay_across_tenants_is_in_the_platforms_trail() -> None:
    running(Criteria(statuses=("dead",)))
    assert set(AuditEntry.objects.values_list("chain", flat=True)) == {"platform"}


def test_long_selection_is_shortened_in_the_trail() -> None:
    running(Criteria(ids=tuple(uuid4() for _ in range(250)), statuses=("dead",)))
    criteria = AuditEntry.objects.get(action="replay.drafted").details["criteria"]
    assert (len(criteria["ids"]), criteria["ids_count"]) == (100, 250)
    assert len(ReplayJob.objects.get().criteria["ids"]) == 250


def test_unknown_job_is_refused_in_words() -> None:
    assert service.start(uuid4(), ACTOR) == "There is no such replay."


@pytest.mark.django_db(transaction=True)
def test_one_wins_when_two_press_at_once() -> None:
    job = drafted()
    together, refusals = threading.Barrier(2), []

    def press() -> None:
        together.wait()
        refusals.append(service.start(job.pk, ACTOR))
        connection.close()

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(bool(refusal) for refusal in refusals) == [False, True]
    assert AuditEntry.objects.filter(action="replay.started").count() == 1


# --- Counting ---


def test_count_reads_on_over_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "COUNT_LOOKS", 3)
    rows = many_dead(10)
    assert counted(Criteria(tenant_id=rows[0].tenant_id), timezone.now()) == (10, True)


def test_count_is_capped() -> None:
    rows = many_dead(10)
    assert counted(Criteria(tenant_id=rows[0].tenant_id), timezone.now(), most=10) == (10, True)
    assert counted(Criteria(tenant_id=rows[0].tenant_id), timezone.now(), most=9) == (9, False)


def test_draft_says_so_when_counting_was_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "COUNT_LOOKS", 3)
    monkeypatch.setattr(preview, "COUNT_TIME_S", -1.0)
    job = service.draft(Criteria(tenant_id=many_dead(10)[0].tenant_id), ACTOR)
    assert (job.total, job.note) == (3, service.COUNT_CUT)
    assert not service.describe([job])[0].exact


def test_sample_is_the_oldest_few() -> None:
    rows = many_dead(9)
    found = preview.preview(Criteria(tenant_id=rows[0].tenant_id), timezone.now())
    assert (found.total, found.exact, [row.pk for row in found.sample]) == (9, True, [row.pk for row in rows[:5]])
    assert preview.preview(Criteria(tenant_id=TenantFactory().pk), timezone.now()).sample == []


def test_names_cost_three_queries_however_many_jobs(django_assert_num_queries: Any) -> None:
    jobs = [service.draft(gap(many_dead(1)[0].endpoint_id, timezone.now()), ACTOR) for _ in range(5)]
    jobs.append(service.draft(Criteria(statuses=("dead",)), ACTOR))
    with django_assert_num_queries(2):
        told = service.describe(jobs)
    assert len({item.words for item in told}) == 6
    assert told[-1].words == "dead, of all tenants"


def test_progress_is_whole_only_at_the_end() -> None:
    job = ReplayJob(state="running", total=3, queued=3, rate_per_s=2, criteria={"status": ["dead"]})
    [told] = service.describe([job])
    assert (told.percent, told.left_s) == (99, 0)
    job.state, job.queued = "done", 2
    assert told.percent == 100
    job.state, job.total, job.queued = "running", 10, 4
    assert (told.percent, told.left_s) == (40, 3)
