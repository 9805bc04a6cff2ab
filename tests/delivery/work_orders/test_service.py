from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from audit.models import AuditEntry
from delivery.models import Alert, ApprovalKind, LinkKind, WorkOrder, WorkOrderComment, WorkOrderState
from delivery.work_orders import rules, service
from delivery.work_orders.rules import Draft
from delivery.work_orders.timeline import timeline
from eventcenter.access.roles import Role
from subscriptions.models import Tenant
from tests.delivery.approvals.desk import actions, approver, asked, draft, escalated, operator, person
from tests.delivery.replays.desk import ACTOR
from tests.factories import DeliveryFactory, TenantFactory

pytestmark = pytest.mark.django_db


def opened(tenant: Tenant | None = None, **values: Any) -> WorkOrder:
    of = tenant or TenantFactory()
    done = service.open_by_hand(Draft(tenant_id=of.pk, title="Look after it", **values), ACTOR)
    assert done.order is not None, done.words
    return done.order


def state_of(order: WorkOrder) -> tuple[str, str, str]:
    order.refresh_from_db()
    return order.state, order.outcome, order.outcome_text


# --- Rules ---


def test_moves_of_the_actions_are_the_legal_ones() -> None:
    moves = {(source, move.to) for move in (*rules.MOVES.values(), rules.CLOSE) for source in move.sources}
    assert moves == {(source, to) for source, targets in rules.LEGAL_MOVES.items() for to in targets}


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"title": ""}, ["title"]),
        ({"title": "x" * 201}, ["title"]),
        ({"title": "a\nb"}, ["title"]),
        ({"body": "x" * 4_001}, ["body"]),
        ({"body": "a\0"}, ["body"]),
        ({"severity": "awful"}, ["severity"]),
        ({"title": " ", "severity": ""}, ["title", "severity"]),
    ],
)
def test_every_wrong_field_is_named(values: dict[str, str], fields: list[str]) -> None:
    tenant = TenantFactory()
    done = service.open_by_hand(Draft(**{"tenant_id": tenant.pk, "title": "x"} | values), ACTOR)
    assert list(done.problems or {}) == fields
    assert not WorkOrder.objects.exists()
    assert actions() == []


# --- From opening to the end ---


def test_it_goes_from_open_to_closed_and_back_with_its_entries() -> None:
    order = opened()
    assert service.act(order.pk, "start", ACTOR)
    assert service.act(order.pk, "stop", ACTOR)
    assert service.close(order.pk, "fixed_by_them", "They restarted it.", ACTOR)
    assert state_of(order) == ("closed", "fixed_by_them", "They restarted it.")
    assert order.closed_at is not None
    assert service.act(order.pk, "reopen", ACTOR)
    assert state_of(order) == ("open", "", "")
    assert actions() == [
        "work_order.opened",
        "work_order.started",
        "work_order.stopped",
        "work_order.closed",
        "work_order.reopened",
    ]
    entry = AuditEntry.objects.get(action="work_order.closed")
    assert (entry.chain, entry.actor, entry.target) == (order.tenant.slug, ACTOR.name, f"work_order:{order.pk}")
    assert entry.details == {"outcome": "fixed_by_them", "outcome_text": "They restarted it."}


@pytest.mark.parametrize("name", ["reopen", "stop"])
def test_move_that_is_not_legal_is_refused(name: str) -> None:
    order = opened()
    refused = service.act(order.pk, name, ACTOR)
    assert "It is open" in refused.refusal
    assert state_of(order)[0] == "open"
    assert actions() == ["work_order.opened"]


def test_it_is_closed_once() -> None:
    order = opened()
    assert service.close(order.pk, "replayed", "", ACTOR)
    assert "It is closed" in service.close(order.pk, "duplicate", "", ACTOR).refusal
    assert state_of(order)[1] == "replayed"


def test_closing_takes_an_outcome() -> None:
    order = opened()
    assert list(service.close(order.pk, "", "x" * 4_001, ACTOR).problems or {}) == ["outcome", "text"]
    assert state_of(order)[0] == "open"


@pytest.mark.parametrize("change", ["comment", "assign", "act", "close", "link"])
def test_what_is_not_there_is_told(change: str) -> None:
    key = uuid4()
    done = {
        "comment": lambda: service.comment(key, "x", ACTOR),
        "assign": lambda: service.assign(key, "", ACTOR),
        "act": lambda: service.act(key, "start", ACTOR),
        "close": lambda: service.close(key, "replayed", "", ACTOR),
        "link": lambda: service.link(key, LinkKind.ALERT, uuid4(), ACTOR),
    }[change]()
    assert done.refusal == service.MISSING


# --- Comments ---


def test_comment_stands_in_the_timeline_and_cannot_be_changed() -> None:
    order = opened()
    assert service.comment(order.pk, "They are told.\nWaiting.", ACTOR)
    comment = WorkOrderComment.objects.get()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        WorkOrderComment.objects.update(text="I never said that.")
    entry = AuditEntry.objects.get(action="work_order.commented")
    assert entry.details == {"comment": str(comment.pk)}, "the words stand in the comment alone"


@pytest.mark.parametrize("text", ["", " ", "x" * 4_001, "a\0"])
def test_comment_that_says_nothing_or_too_much_is_refused(text: str) -> None:
    order = opened()
    assert "text" in (service.comment(order.pk, text, ACTOR).problems or {})
    assert not WorkOrderComment.objects.exists()


def test_timeline_has_entries_and_comments_in_their_order(django_assert_num_queries: Any) -> None:
    other, order = opened(), opened()
    worker = person(order.tenant, Role.OPERATOR, username="tom")
    service.comment(order.pk, "They are told.", ACTOR)
    service.assign(order.pk, "tom", ACTOR)
    service.comment(other.pk, "Somewhere else.", ACTOR)
    service.close(order.pk, "fixed_by_us", "A typo.", worker.actor)
    with django_assert_num_queries(2):
        steps = timeline(order)
    assert [(step.words, step.text, step.actor) for step in steps] == [
        ("Opened", "", "user:eva"),
        ("Comment", "They are told.", "user:eva"),
        ("Assigned", "to tom", "user:eva"),
        ("Closed", "Fixed by us: A typo.", "user:tom"),
    ]


# --- Assigned ---


def test_it_is_assigned_to_who_may_work_in_the_tenant() -> None:
    order = opened()
    person(order.tenant, Role.OPERATOR, username="tom")
    person(None, Role.OPERATOR, username="ops")
    for name in ("tom", "ops", ""):
        assert service.assign(order.pk, name, ACTOR)
        order.refresh_from_db()
        assert (order.assignee.get_username() if order.assignee else "") == name
    assert service.assign(order.pk, "", ACTOR), "twice is once"
    told = AuditEntry.objects.filter(action="work_order.assigned").order_by("pk").values_list("details", flat=True)
    assert [row["assignee"] for row in told] == [[None, "tom"], ["tom", "ops"], ["ops", None]]


def test_it_is_not_assigned_to_anybody_else() -> None:
    order = opened()
    person(TenantFactory(), Role.OPERATOR, username="stranger")
    person(order.tenant, Role.VIEWER, username="viewer")
    person(order.tenant, Role.OPERATOR, username="gone", is_active=False)
    for name in ("stranger", "viewer", "gone", "nobody-at-all", "a\0b"):
        assert "assignee" in (service.assign(order.pk, name, ACTOR).problems or {})
    assert "work_order.assigned" not in actions()


def test_closed_one_is_not_assigned() -> None:
    order = opened()
    service.close(order.pk, "replayed", "", ACTOR)
    assert service.assign(order.pk, "", ACTOR).refusal == service.IS_CLOSED


# --- Linked ---


def test_it_is_linked_to_what_its_tenant_has() -> None:
    delivery = escalated()
    tenant = delivery.tenant
    approval = asked_for(delivery.pk, tenant)
    job = draft(2)
    job.tenant = tenant
    job.save()
    alert = Alert.objects.create(kind="x", dedup_key="x", summary="It fails.", tenant_id=tenant.pk)
    order = opened(tenant, links=((LinkKind.DELIVERY, delivery.pk),))
    for kind, key in ((LinkKind.APPROVAL, approval), (LinkKind.REPLAY, job.pk), (LinkKind.ALERT, alert.pk)):
        assert service.link(order.pk, kind, key, ACTOR)
        assert service.link(order.pk, kind, key, ACTOR), "twice is once"
    assert order.links.count() == 4
    assert actions().count("work_order.linked") == 3
    [first, *_] = service.linking.describe(order.links.all())
    assert (first.words, first.state) == (f"{delivery.event.subject} → {delivery.endpoint.slug}", "Dead")


def asked_for(delivery_id: UUID, tenant: Tenant) -> UUID:
    return asked(ApprovalKind.DELIVERY_REPLAY, delivery_id, operator(tenant)).pk


@pytest.mark.parametrize("kind", list(LinkKind))
def test_it_is_not_linked_to_anothers_or_to_nothing(kind: LinkKind) -> None:
    order = opened()
    foreign = DeliveryFactory(dead=True)
    keys = [uuid4(), foreign.pk] if kind is LinkKind.DELIVERY else [uuid4()]
    for key in keys:
        assert "id" in (service.link(order.pk, kind, key, ACTOR).problems or {})
        done = service.open_by_hand(Draft(order.tenant_id, "x", links=((kind, key),)), ACTOR)
        assert list(done.problems or {}) == [kind.value]
    assert not order.links.exists()
    assert WorkOrder.objects.count() == 1


# --- By rule ---


def test_one_is_open_for_a_cause_and_another_follows_when_it_is_closed() -> None:
    tenant, now = TenantFactory(), timezone.now()
    values = Draft(tenant.pk, "It fails")
    first, is_new = service.open_by_rule(values, "endpoint:1", ACTOR, now)
    again, is_new_again = service.open_by_rule(values, "endpoint:1", ACTOR, now)
    assert (first, is_new, is_new_again) == (again, True, False)
    service.close(first.pk, "fixed_by_them", "", ACTOR)
    second, is_new = service.open_by_rule(values, "endpoint:1", ACTOR, now + timedelta(days=1))
    assert (second != first, is_new) == (True, True)
    assert "Another work order" in service.act(first.pk, "reopen", ACTOR).refusal
    assert state_of(first)[0] == WorkOrderState.CLOSED


def test_only_ones_own_tenants_are_visible() -> None:
    order = opened()
    assert list(service.visible_to(approver(order.tenant))) == [order]
    assert list(service.visible_to(operator(None))) == [order]
    assert not service.visible_to(operator(TenantFactory())).exists()
