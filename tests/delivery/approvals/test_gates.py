"""No way around: what takes a second person is refused, or kept waiting, at every door."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEntry
from delivery.approvals import service as approvals
from delivery.models import Approval, Delivery, Dispatch, ReplayJob
from delivery.order.order_key import order_key
from delivery.order.ordering import Ordered, enqueue
from delivery.order.pass_over import pass_over
from delivery.replay import replay
from delivery.replays import run, service
from delivery.replays.criteria import Criteria
from eventcenter.models import EventType
from subscriptions.models import Endpoint, EndpointState, Ordering, Tenant
from subscriptions.services import disable, needs_approval, resume
from tests.delivery.approvals.desk import actions, approver, disabled_by_system, draft, escalate, escalated
from tests.delivery.replays.desk import ACTOR, many_dead, replays_of, work_off
from tests.eventcenter.sender import new_sender
from tests.factories import DeliveryFactory, EndpointFactory, SubscriptionFactory, SuperuserFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queues")]
REPLAYS = "/internal/events/replays"


@pytest.fixture
def few(settings: Settings) -> None:
    settings.APPROVAL_REPLAY_COUNT = 2


def acme_dead(count: int) -> list[Delivery]:
    tenant = Tenant.objects.get(slug="acme")
    return many_dead(count, SubscriptionFactory(endpoint=EndpointFactory(tenant=tenant, slug="ci-cd")))


# --- One delivery ---


def test_delivery_whose_death_called_a_person_is_not_replayed_by_one() -> None:
    delivery = escalated()
    result = replay(delivery.pk, ACTOR)
    assert "second person" in result.refusal
    assert not Dispatch.objects.exists()
    assert actions() == []
    assert replay(delivery.pk, ACTOR, approved=True)


def test_other_deliveries_are_replayed_by_one() -> None:
    for delivery in (DeliveryFactory(dead=True), DeliveryFactory(delivered=True)):
        assert replay(delivery.pk, ACTOR)


def test_delivery_whose_death_called_a_person_is_not_passed_over_by_one() -> None:
    subscription = SubscriptionFactory(ordering=Ordering.BLOCK)
    rows = [escalated(subscription=subscription), DeliveryFactory(subscription=subscription)]
    key = order_key(subscription.pk, "acme|one")
    enqueue([Ordered(row.pk, subscription.pk, key) for row in rows])
    assert "second person" in pass_over(rows[0].pk, ACTOR).refusal
    assert not Dispatch.objects.exists()
    assert pass_over(rows[0].pk, ACTOR, approved=True)


# --- Many ---


@pytest.mark.parametrize(("count", "starts"), [(2, True), (3, False)])
def test_replay_above_the_count_does_not_start(few: None, count: int, starts: bool) -> None:
    job = draft(count)
    refusal = service.start(job.pk, ACTOR)
    job.refresh_from_db()
    assert (refusal == "", job.state) == (starts, "running" if starts else "draft")
    assert actions() == (["replay.started"] if starts else [])


@pytest.mark.parametrize(
    ("count", "own", "starts"), [(2, None, True), (2, 1, False), (2, 5, True), (3, None, False), (3, 5, False)]
)
def test_a_tenants_own_count_only_lowers_the_platforms(few: None, count: int, own: int | None, starts: bool) -> None:
    job = draft(count)
    Tenant.objects.update(approval_replay_count=own)
    assert (service.start(job.pk, ACTOR) == "") is starts


def test_replay_whose_counting_was_cut_short_does_not_start() -> None:
    job = draft(1)
    ReplayJob.objects.update(note=service.COUNT_CUT)
    assert "Nobody knows" in service.start(job.pk, ACTOR)


@pytest.mark.parametrize("criteria", ["endpoint", "ids", "event", "type"])
def test_replay_that_takes_an_escalated_death_does_not_start(criteria: str) -> None:
    rows = many_dead(3)
    escalate(rows[1])
    given: dict[str, Any] = {
        "endpoint": {"endpoint_id": rows[0].endpoint_id},
        "ids": {"ids": (rows[1].pk,)},
        "event": {"event_id": rows[1].event_id},
        "type": {"tenant_id": rows[0].tenant_id, "types": ("plugin.release.published",)},
    }[criteria]
    job = service.draft(Criteria(**given), ACTOR)
    assert "called a person" in service.start(job.pk, ACTOR)


def test_replay_that_leaves_the_escalated_death_out_starts() -> None:
    rows = many_dead(3)
    escalate(rows[1])
    assert service.start(service.draft(Criteria(ids=(rows[0].pk, rows[2].pk)), ACTOR).pk, ACTOR) == ""
    other = many_dead(1)
    assert service.start(service.draft(Criteria(endpoint_id=other[0].endpoint_id), ACTOR).pk, ACTOR) == ""


def test_started_replay_skips_what_called_a_person_since() -> None:
    rows = many_dead(3)
    job = service.draft(Criteria(endpoint_id=rows[0].endpoint_id), ACTOR)
    assert service.start(job.pk, ACTOR) == ""
    escalate(rows[1])
    work_off(service.job_of(job.pk))
    assert replays_of(rows) == [1, 0, 1]
    assert "second person" in service.job_of(job.pk).note


def test_started_replay_ends_at_the_count_when_more_have_come_to_fit(few: None) -> None:
    rows = many_dead(5)
    Delivery.objects.filter(pk__in=[row.pk for row in rows[2:]]).update(status="delivered", dead_at=None)
    job = service.draft(Criteria(endpoint_id=rows[0].endpoint_id), ACTOR)
    assert service.start(job.pk, ACTOR) == ""
    Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(status="dead", dead_at=rows[0].dead_at)
    work_off(service.job_of(job.pk))
    assert sum(replays_of(rows)) == 2
    assert "more have come to fit" in service.job_of(job.pk).note


def test_approved_replay_takes_all(few: None) -> None:
    rows = many_dead(4)
    escalate(rows[1])
    job = service.draft(Criteria(endpoint_id=rows[0].endpoint_id), ACTOR)
    assert service.start(job.pk, ACTOR, approved=True) == ""
    work_off(service.job_of(job.pk))
    assert replays_of(rows) == [1, 1, 1, 1]


# --- Endpoints ---


def test_endpoint_that_the_system_disabled_is_not_enabled_by_one() -> None:
    endpoint = disabled_by_system()
    assert needs_approval(endpoint)
    assert not resume(endpoint, ACTOR)
    assert Endpoint.objects.get().state == EndpointState.DISABLED
    assert actions() == []


def test_endpoint_that_a_hand_disabled_is_enabled_by_one() -> None:
    endpoint = EndpointFactory()
    assert disable(endpoint, ACTOR, "moved away")
    assert not needs_approval(endpoint)
    assert resume(endpoint, ACTOR)


def test_admin_leads_to_the_second_person(client: Client) -> None:
    client.force_login(SuperuserFactory())
    endpoint = disabled_by_system()
    body = {"action": "resume_selected", "_selected_action": [endpoint.pk]}
    told = client.post("/admin/subscriptions/endpoint/", body, follow=True).content.decode()
    assert "0 resumed." in told
    assert f"/console/approvals/new?kind=endpoint.resume&amp;target={endpoint.pk}" in told
    assert Endpoint.objects.get().state == EndpointState.DISABLED


# --- REST and publish ---


def test_signed_replay_stays_a_draft_and_asks(few: None) -> None:
    sender = new_sender("acme")
    rows = acme_dead(3)
    body = json.dumps({"status": ["dead"], "reason": "database restored"}).encode()
    made = Client().post(REPLAYS, body, content_type="application/json", headers=sender.sign(body)).json()
    approval = Approval.objects.get()
    assert (made["state"], made["approval"]) == ("draft", {"id": str(approval.pk), "state": "requested"})
    assert "more than 2" in made["needs_approval"]
    assert (approval.requested_by, approval.reason) == (f"key:{sender.key_id}", "database restored")
    run.step(timezone.now() + timedelta(seconds=1))
    assert sum(replays_of(rows)) == 0
    assert approvals.approve(approval.pk, approver(rows[0].tenant), "Yes.")
    run.step(timezone.now() + timedelta(seconds=1))
    assert sum(replays_of(rows)) == 3


def test_start_of_a_draft_says_that_it_takes_a_second_person(few: None) -> None:
    client = Client()
    client.force_login(UserFactory())
    job = draft(3)
    response = client.post(f"{REPLAYS}/{job.pk}/start")
    assert (response.status_code, response.json()["type"]) == (409, "urn:event-center:problem:approval-needed")
    job.refresh_from_db()
    assert job.state == "draft"
    assert not Approval.objects.exists()


def test_published_replay_stays_a_draft_and_asks_once(few: None, event_types: list[EventType]) -> None:
    sender = new_sender("acme")
    [dead] = acme_dead(1)
    escalate(dead)
    body = json.dumps({"replay": {"event": str(dead.event_id)}}).encode()
    signing = sender.sign(body)
    first, again = (sender.post(body, "application/json", signing=signing) for _ in range(2))
    approval = Approval.objects.get()
    job = ReplayJob.objects.get()
    for response in (first, again):
        assert response.status_code == 202
        told = json.loads(response.content)["replay"]
        assert told == {"id": str(job.pk), "count": 1, "approval": str(approval.pk)}
    assert job.state == "draft"


# --- The shell ---


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("replay_event", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_shell_keeps_a_draft_and_says_so(few: None) -> None:
    rows = many_dead(3)
    with pytest.raises(CommandError, match="It is kept as a draft"):
        said("--tenant", rows[0].tenant.slug)
    assert ReplayJob.objects.get().state == "draft"
    assert not Approval.objects.exists(), "nobody is signed in, so nobody could be kept from approving it"


def test_shell_breaks_the_glass_and_the_trail_says_so(few: None) -> None:
    rows = many_dead(3)
    with pytest.raises(CommandError, match="takes a --reason"):
        said("--tenant", rows[0].tenant.slug, "--break-glass")
    assert not ReplayJob.objects.exists()
    said("--tenant", rows[0].tenant.slug, "--break-glass", "--reason", "outage")
    job = ReplayJob.objects.get()
    assert (job.state, job.approved) == ("running", True)
    assert actions() == ["replay.started", "approval.bypassed"]
    entry = AuditEntry.objects.get(action="approval.bypassed")
    assert (entry.chain, entry.actor) == (rows[0].tenant.slug, "system:replay_event")
    assert entry.details["reason"] == "outage"


def test_shell_starts_what_needs_nobody() -> None:
    rows = many_dead(3)
    said("--tenant", rows[0].tenant.slug, "--break-glass", "--reason", "to be sure")
    assert ReplayJob.objects.get().approved is False
    assert actions() == ["replay.started"]
