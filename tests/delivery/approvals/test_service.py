from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEntry
from audit.trail import Actor
from delivery.approvals import service
from delivery.models import Approval, ApprovalKind, ApprovalState, Delivery, Dispatch, ReplayJob
from delivery.order.order_key import order_key
from delivery.order.ordering import Ordered, enqueue
from delivery.replay import replay
from delivery.replays import service as replays
from delivery.states import DeliveryStatus
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission, Role
from eventcenter.publish_keys import create_publish_key, rotate_publish_key
from subscriptions.models import Endpoint, EndpointState, Ordering
from subscriptions.services import resume
from tests.delivery.approvals.desk import (
    actions,
    approver,
    asked,
    disabled_by_system,
    draft,
    escalated,
    operator,
    person,
)
from tests.factories import DeliveryFactory, SubscriptionFactory, TenantFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queues")]
REPLAY, PASS_OVER = ApprovalKind.DELIVERY_REPLAY, ApprovalKind.DELIVERY_PASS_OVER
START, RESUME = ApprovalKind.REPLAY_START, ApprovalKind.ENDPOINT_RESUME
WHY = "The receiver is back."
EVA = Actor("user:eva")


def state_of(approval: Approval) -> tuple[str, str]:
    approval.refresh_from_db()
    return approval.state, approval.outcome


# --- Carried out ---


def test_delivery_is_replayed_when_a_second_person_approves() -> None:
    delivery = escalated()
    first, second = operator(delivery.tenant), approver(delivery.tenant)
    approval = asked(REPLAY, delivery.pk, first)
    assert not Dispatch.objects.exists()

    assert service.approve(approval.pk, second, "Seen it.")

    assert Delivery.objects.get().status == DeliveryStatus.PENDING
    assert Dispatch.objects.get().delivery_ids == [delivery.pk]
    assert state_of(approval) == ("approved", "Done as it was asked for.")
    assert actions() == ["approval.requested", "delivery.replayed", "approval.approved"]
    entry = AuditEntry.objects.get(action="approval.approved")
    assert (entry.chain, entry.actor, entry.actor_user_id) == (delivery.tenant.slug, second.name, second.user_id)
    assert entry.details == {
        "kind": "delivery.replay",
        "target": f"delivery:{delivery.pk}",
        "reason": "Seen it.",
        "requested_by": first.name,
    }


def test_delivery_is_passed_over_when_a_second_person_approves() -> None:
    subscription = SubscriptionFactory(ordering=Ordering.BLOCK)
    rows = [escalated(subscription=subscription), DeliveryFactory(subscription=subscription)]
    key = order_key(subscription.pk, "acme|one")
    enqueue([Ordered(row.pk, subscription.pk, key) for row in rows])
    approval = asked(PASS_OVER, rows[0].pk, operator(rows[0].tenant))
    assert service.approve(approval.pk, approver(rows[0].tenant), WHY)
    assert "delivery.passed_over" in actions()


def test_replay_is_started_when_a_second_person_approves(settings: Settings) -> None:
    settings.APPROVAL_REPLAY_COUNT = 2
    job = draft(3)
    assert job.tenant is not None
    approval = asked(START, job.pk, operator(job.tenant))
    assert "more than 2" in approval.summary
    assert service.approve(approval.pk, approver(job.tenant), WHY)
    job.refresh_from_db()
    assert (job.state, job.approved) == ("running", True)


def test_endpoint_is_enabled_when_a_second_person_approves() -> None:
    endpoint = disabled_by_system()
    approval = asked(RESUME, endpoint.pk, operator(endpoint.tenant))
    assert service.approve(approval.pk, approver(endpoint.tenant), WHY)
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.disabled_by_system) == (EndpointState.ENABLED, False)


def test_nothing_is_done_when_it_is_rejected() -> None:
    delivery = escalated()
    approval = asked(REPLAY, delivery.pk, operator(delivery.tenant))
    assert service.reject(approval.pk, approver(delivery.tenant), "Not yet.")
    approval.refresh_from_db()
    assert (approval.state, approval.decision_reason) == ("rejected", "Not yet.")
    assert Delivery.objects.get().status == DeliveryStatus.DEAD
    assert actions() == ["approval.requested", "approval.rejected"]


# --- No longer possible ---


def replayed_meanwhile(delivery: Delivery) -> None:
    assert replay(delivery.pk, EVA, approved=True)


def died_anew(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(replays=1)


def endpoint_disabled(delivery: Delivery) -> None:
    Endpoint.objects.filter(pk=delivery.endpoint_id).update(state=EndpointState.DISABLED)


@pytest.mark.parametrize(
    ("change", "words"),
    [(replayed_meanwhile, "replayed meanwhile"), (died_anew, "replayed meanwhile"), (endpoint_disabled, "disabled")],
)
def test_it_ends_as_failed_when_it_is_no_longer_possible(change: Any, words: str) -> None:
    delivery = escalated()
    approval = asked(REPLAY, delivery.pk, operator(delivery.tenant))
    change(delivery)
    before = actions()
    decided = service.approve(approval.pk, approver(delivery.tenant), WHY)
    assert words in decided.failure
    state, outcome = state_of(approval)
    assert (state, outcome) == ("failed", decided.failure)
    assert actions() == [*before, "approval.failed"]
    assert service.approve(approval.pk, approver(delivery.tenant), WHY).refusal.startswith("It is not waiting")


def test_discarded_draft_is_not_started(settings: Settings) -> None:
    settings.APPROVAL_REPLAY_COUNT = 2
    job = draft(3)
    approval = asked(START, job.pk, operator(job.tenant))
    replays.cancel(job.pk, EVA)
    assert "cancelled" in service.approve(approval.pk, approver(job.tenant), WHY).failure
    assert ReplayJob.objects.get().state == "cancelled"


def test_draft_that_was_changed_behind_its_back_is_not_started(settings: Settings) -> None:
    settings.APPROVAL_REPLAY_COUNT = 2
    job = draft(3)
    approval = asked(START, job.pk, operator(job.tenant))
    ReplayJob.objects.update(criteria={"status": ["dead"]})
    assert "not what was asked for" in service.approve(approval.pk, approver(job.tenant), WHY).failure
    assert ReplayJob.objects.get().state == "draft"


def test_endpoint_that_was_disabled_anew_is_not_enabled() -> None:
    endpoint = disabled_by_system()
    approval = asked(RESUME, endpoint.pk, operator(endpoint.tenant))
    Endpoint.objects.update(state_reason="The receiver answered 410 Gone.")
    assert "disabled anew" in service.approve(approval.pk, approver(endpoint.tenant), WHY).failure
    assert Endpoint.objects.get().state == EndpointState.DISABLED


def test_endpoint_that_is_enabled_already_is_left_alone() -> None:
    endpoint = disabled_by_system()
    approval = asked(RESUME, endpoint.pk, operator(endpoint.tenant))
    assert resume(endpoint, EVA, approved=True)
    assert "enabled already" in service.approve(approval.pk, approver(endpoint.tenant), WHY).failure


# --- Who ---


def test_who_asked_cannot_decide() -> None:
    delivery = escalated()
    both = person(delivery.tenant, Role.OPERATOR, Role.APPROVER)
    approval = asked(REPLAY, delivery.pk, both)
    for decide in (service.approve, service.reject):
        decided = decide(approval.pk, both, WHY)
        assert (decided.forbidden, bool(decided)) == (True, False)
    assert state_of(approval)[0] == "requested"
    assert not Dispatch.objects.exists()


def key_of(maker: Principal, tenant_id: int) -> Principal:
    """An API key, as eventcenter.access.authentication makes it."""
    grants = {tenant_id: frozenset({Permission.VIEW, Permission.REPLAY, Permission.APPROVE})}
    return Principal("key:ak_1", "", maker.user_id, by_tenant=grants, is_person=False)


def test_maker_of_a_key_cannot_decide_what_the_key_asked_for() -> None:
    delivery = escalated()
    maker = approver(delivery.tenant)
    approval = asked(REPLAY, delivery.pk, key_of(maker, delivery.tenant_id))
    assert approval.requested_by == "key:ak_1"
    assert service.approve(approval.pk, maker, WHY).forbidden
    assert service.approve(approval.pk, approver(delivery.tenant), WHY)


def test_maker_of_a_publish_key_is_known_from_the_trail() -> None:
    delivery = escalated()
    maker = approver(delivery.tenant)
    key, _ = create_publish_key(delivery.tenant_id, "Pipeline", maker.actor)
    grants = {delivery.tenant_id: frozenset({Permission.REPLAY})}
    caller = Principal(f"key:{key.key_id}", by_tenant=grants, is_person=False)
    approval = asked(REPLAY, delivery.pk, caller)
    assert approval.requested_by_user_id == maker.user_id
    assert service.approve(approval.pk, maker, WHY).forbidden


def test_who_rotated_a_publish_key_cannot_decide_what_it_asked_for() -> None:
    """They have seen its secret, whoever made it."""
    delivery = escalated()
    maker, rotator = operator(delivery.tenant), person(delivery.tenant, Role.TENANT_ADMIN, Role.APPROVER)
    key, _ = create_publish_key(delivery.tenant_id, "CI", maker.actor)
    grants = {delivery.tenant_id: frozenset({Permission.REPLAY})}
    approval = asked(REPLAY, delivery.pk, Principal(f"key:{key.key_id}", by_tenant=grants, is_person=False))
    rotate_publish_key(key, rotator.actor)

    decided = service.approve(approval.pk, rotator, "Fine by me.")

    assert decided.forbidden
    assert state_of(approval)[0] == ApprovalState.REQUESTED
    assert service.approve(approval.pk, approver(delivery.tenant), "Seen it.")


def test_key_cannot_decide_even_with_the_permission() -> None:
    delivery = escalated()
    approval = asked(REPLAY, delivery.pk, operator(delivery.tenant))
    assert service.approve(approval.pk, key_of(approver(delivery.tenant), delivery.tenant_id), WHY).forbidden
    assert state_of(approval)[0] == "requested"


def test_approver_of_another_tenant_neither_sees_nor_decides() -> None:
    delivery = escalated()
    approval = asked(REPLAY, delivery.pk, operator(delivery.tenant))
    stranger = approver(TenantFactory())
    assert not service.visible_to(stranger).exists()
    assert not service.waiting_for(stranger, timezone.now()).exists()
    assert service.approve(approval.pk, stranger, WHY).forbidden
    assert state_of(approval)[0] == "requested"


@pytest.mark.parametrize("roles", [(), (Role.VIEWER,), (Role.OPERATOR,), (Role.TENANT_ADMIN,)])
def test_nobody_decides_without_the_role_approver(roles: tuple[Role, ...]) -> None:
    delivery = escalated()
    approval = asked(REPLAY, delivery.pk, operator(delivery.tenant))
    assert service.approve(approval.pk, person(delivery.tenant, *roles), WHY).forbidden
    assert service.approve(approval.pk, person(None, *roles, is_superuser=True), WHY).forbidden
    assert state_of(approval)[0] == "requested"


def test_replay_across_tenants_takes_an_approver_of_the_platform(settings: Settings) -> None:
    settings.APPROVAL_REPLAY_COUNT = 0
    draft(1)
    job = replays.draft(replays.Criteria(), EVA)
    assert job.tenant is None
    approval = asked(START, job.pk, operator(None))
    tenant = TenantFactory()
    assert service.ask(START, str(job.pk), operator(tenant), WHY).missing
    assert service.approve(approval.pk, approver(tenant), WHY).forbidden
    assert service.approve(approval.pk, approver(None), WHY)
    assert AuditEntry.objects.get(action="approval.approved").chain == "platform"


@pytest.mark.parametrize(
    ("roles", "missing", "forbidden"),
    [((), True, False), ((Role.VIEWER,), False, True), ((Role.APPROVER,), False, True)],
)
def test_asking_takes_what_doing_it_alone_would_take(roles: tuple[Role, ...], missing: bool, forbidden: bool) -> None:
    delivery = escalated()
    found = service.ask(REPLAY, str(delivery.pk), person(delivery.tenant, *roles), WHY)
    assert (found.missing, found.forbidden) == (missing, forbidden)
    assert not Approval.objects.exists()


# --- Asking ---


def test_who_asks_twice_gets_what_waits_already() -> None:
    delivery = escalated()
    first = asked(REPLAY, delivery.pk, operator(delivery.tenant))
    again = service.ask(REPLAY, str(delivery.pk), operator(delivery.tenant), "Me, too.")
    assert (again.approval, again.is_new) == (first, False)
    assert actions() == ["approval.requested"]


@pytest.mark.parametrize("kind", list(ApprovalKind))
@pytest.mark.parametrize("target", ["", "x", "0", "9" * 30, "00000000-0000-0000-0000-000000000000", "a\0"])
def test_it_is_missing_when_there_is_no_such_target(kind: ApprovalKind, target: str) -> None:
    assert service.ask(kind, target, operator(None), WHY).missing


def test_nothing_is_asked_for_that_needs_no_second_person() -> None:
    delivery, job = DeliveryFactory(dead=True), draft(2)
    endpoint = delivery.endpoint
    for kind, target in ((REPLAY, delivery.pk), (START, job.pk), (RESUME, endpoint.pk)):
        assert "Nobody need approve it" in service.ask(kind, str(target), operator(None), WHY).refusal
    assert not Approval.objects.exists()


def test_nothing_is_asked_for_without_a_reason() -> None:
    delivery = escalated()
    assert service.ask(REPLAY, str(delivery.pk), operator(delivery.tenant), " ").refusal.startswith("Say why")
    assert not Approval.objects.exists()


# --- Time ---


def test_it_expires_after_its_hours_and_can_be_asked_for_again(settings: Settings) -> None:
    settings.APPROVAL_EXPIRES_HOURS = 2
    delivery, now = escalated(), timezone.now()
    second = approver(delivery.tenant)
    approval = asked(REPLAY, delivery.pk, operator(delivery.tenant), now=now)
    assert service.expire(now + timedelta(hours=2, seconds=-1)) == 0
    assert service.waiting_for(second, now + timedelta(hours=1)).count() == 1
    late = now + timedelta(hours=2)
    assert "expired" in service.approve(approval.pk, second, WHY, late).refusal, "also before the sweep has seen it"
    assert service.waiting_for(second, late).count() == 0
    assert service.expire(late) == 1
    assert state_of(approval)[0] == "expired"
    assert service.expire(late) == 0
    assert actions() == ["approval.requested", "approval.expired"]
    assert "expired" in service.approve(approval.pk, second, WHY, late).refusal
    assert not Dispatch.objects.exists()
    assert asked(REPLAY, delivery.pk, operator(delivery.tenant), now=late) != approval


def test_overdue_one_makes_room_for_a_new_one_before_the_sweep_has_seen_it() -> None:
    delivery, now = escalated(), timezone.now()
    first = asked(REPLAY, delivery.pk, operator(delivery.tenant), now=now - timedelta(days=2))
    second = asked(REPLAY, delivery.pk, operator(delivery.tenant), now=now)
    assert (state_of(first)[0], state_of(second)[0]) == ("expired", "requested")


def test_it_is_withdrawn_by_who_asked_alone() -> None:
    delivery = escalated()
    first = operator(delivery.tenant)
    approval = asked(REPLAY, delivery.pk, first)
    assert service.withdraw(approval.pk, approver(delivery.tenant)).forbidden
    assert service.withdraw(approval.pk, first)
    assert state_of(approval)[0] == ApprovalState.WITHDRAWN
    assert "withdrawn" in service.approve(approval.pk, approver(delivery.tenant), WHY).refusal
    assert actions() == ["approval.requested", "approval.withdrawn"]


def test_decision_takes_a_reason() -> None:
    delivery = escalated()
    approval = asked(REPLAY, delivery.pk, operator(delivery.tenant))
    assert service.reject(approval.pk, approver(delivery.tenant), "").refusal.startswith("Say why")
    assert state_of(approval)[0] == "requested"
