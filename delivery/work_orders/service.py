"""Work orders as people, programs and rules handle them. Each change is one transaction with its audit entry."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.trail import Actor, record
from delivery.models import (
    LinkKind,
    WorkOrder,
    WorkOrderComment,
    WorkOrderLink,
    WorkOrderOrigin,
    WorkOrderQuerySet,
    WorkOrderState,
)
from delivery.work_orders import linking, rules
from delivery.work_orders.rules import CLOSE, MOVES, Draft, Move
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission

logger = logging.getLogger(__name__)

MISSING = "There is no such work order."
IS_CLOSED = "It is closed; open it again first."


@dataclass(frozen=True, slots=True)
class Done:
    """`problems`: field → what it takes. `refusal`: why it is not possible as things stand. Empty when it was done."""

    refusal: str = ""
    problems: dict[str, str] | None = None
    order: WorkOrder | None = None

    def __bool__(self) -> bool:
        return not self.refusal and not self.problems

    @property
    def words(self) -> str:
        """For people: everything that was wrong."""
        return self.refusal or " ".join(f"{name} {message}." for name, message in (self.problems or {}).items())


def visible_to(principal: Principal) -> WorkOrderQuerySet:
    return WorkOrder.objects.seen_by(principal.tenant_ids(Permission.VIEW)).select_related("tenant", "assignee")


def open_by_hand(draft: Draft, actor: Actor, now: datetime | None = None) -> Done:
    """What it is linked to must be its tenant's."""
    problems = rules.problems_of(draft)
    foreign = [kind for kind, key in draft.links if linking.owner_of(kind, key) != draft.tenant_id]
    problems |= {str(kind): "is not known in the tenant" for kind in foreign}
    if problems:
        return Done(problems=problems)
    with transaction.atomic():
        order = _open(draft, actor, now or timezone.now())
    return Done(order=order)


def open_by_rule(draft: Draft, cause: str, actor: Actor, now: datetime) -> tuple[WorkOrder, bool]:
    """The cause's open work order, and whether it was opened just now; `draft.links` are added to one that was open.

    Joins the caller's transaction. Of two rules at once, one opens it.
    """
    found = WorkOrder.objects.unfinished().filter(cause=cause)
    order = found.first()
    if order is None:
        try:
            with transaction.atomic():
                return _open(draft, actor, now, cause), True
        except IntegrityError:
            order = found.get()
    _link(order, draft.links)
    return order, False


def _open(draft: Draft, actor: Actor, now: datetime, cause: str = "") -> WorkOrder:
    order = WorkOrder.objects.create(
        tenant_id=draft.tenant_id,
        title=draft.title,
        body=draft.body,
        severity=draft.severity,
        origin=draft.origin,
        opened_by=actor.name,
        cause=cause,
        opened_at=now,
        changed_at=now,
    )
    _link(order, draft.links)
    links = [f"{kind}:{key}" for kind, key in draft.links]
    _audit(order, "work_order.opened", actor, {"title": draft.title, "severity": draft.severity, "links": links})
    logger.info("work_order.opened", extra={"work_order_id": str(order.pk), "origin": draft.origin.value})
    return order


def _link(order: WorkOrder, links: Iterable[tuple[LinkKind, UUID]]) -> int:
    """How many are new."""
    before = order.links.count()
    rows = [WorkOrderLink(tenant_id=order.tenant_id, work_order=order, kind=kind, target_id=key) for kind, key in links]
    WorkOrderLink.objects.bulk_create(rows, ignore_conflicts=True)
    return order.links.count() - before


def link(order_id: UUID, kind: LinkKind, target_id: UUID, actor: Actor) -> Done:
    """To something of the same tenant; twice is once."""
    with transaction.atomic():
        order = _locked(order_id)
        if order is None:
            return Done(MISSING)
        if linking.owner_of(kind, target_id) != order.tenant_id:
            return Done(problems={"id": f"no {kind.label.lower()} of the tenant has it"})
        if _link(order, [(kind, target_id)]):
            _touch(order, timezone.now())
            _audit(order, "work_order.linked", actor, {"to": f"{kind}:{target_id}"})
    return Done(order=order)


def comment(order_id: UUID, text: str, actor: Actor, now: datetime | None = None) -> Done:
    """Also on a closed one. The trail says that it was made; the words stand in the comment alone."""
    if words := rules.refusal_of_text(text):
        return Done(problems={"text": words})
    with transaction.atomic():
        order = _locked(order_id)
        if order is None:
            return Done(MISSING)
        moment = now or timezone.now()
        made = WorkOrderComment.objects.create(
            tenant_id=order.tenant_id, work_order=order, author=actor.name, text=text, at=moment
        )
        _touch(order, moment)
        _audit(order, "work_order.commented", actor, {"comment": str(made.pk)})
    return Done(order=order)


def assign(order_id: UUID, username: str, actor: Actor) -> Done:
    """To an active user; "" to nobody. Done again, it changes nothing."""
    with transaction.atomic():
        order = _locked(order_id)
        if order is None:
            return Done(MISSING)
        if order.state == WorkOrderState.CLOSED:
            return Done(IS_CLOSED)
        user = linking.assignee(username, order.tenant_id) if username else None
        if username and user is None:
            return Done(problems={"assignee": "takes the name of an active user who may work in the tenant"})
        _assign(order, user, actor)
    return Done(order=order)


def _assign(order: WorkOrder, user: User | None, actor: Actor) -> None:
    before, after = order.assignee, user
    if before == after:
        return
    WorkOrder.objects.filter(pk=order.pk).update(assignee=after, changed_at=timezone.now())
    names = [person.get_username() if person else None for person in (before, after)]
    order.assignee = after
    _audit(order, "work_order.assigned", actor, {"assignee": names})


def act(order_id: UUID, name: str, actor: Actor, now: datetime | None = None) -> Done:
    """One of MOVES. Of two who press at once, one wins. Opened again, it has no outcome any more."""
    return _moved(order_id, MOVES[name], actor, now or timezone.now(), outcome="", outcome_text="", closed_at=None)


def close(order_id: UUID, outcome: str, text: str, actor: Actor, now: datetime | None = None) -> Done:
    problems = rules.refusal_of_closing(outcome, text)
    if problems:
        return Done(problems=problems)
    moment = now or timezone.now()
    return _moved(order_id, CLOSE, actor, moment, outcome=outcome, outcome_text=text, closed_at=moment)


def _moved(order_id: UUID, move: Move, actor: Actor, now: datetime, **changes: object) -> Done:
    try:
        with transaction.atomic():
            waiting = WorkOrder.objects.filter(pk=order_id, state__in=move.sources)
            if not waiting.update(state=move.to, changed_at=now, **changes):
                return Done(_refusal(order_id, move))
            order = order_of(order_id)
            told = {name: changes[name] for name in ("outcome", "outcome_text") if changes[name]}
            _audit(order, move.action, actor, told)
    except IntegrityError:  # opened again while its cause has another one
        return Done("Another work order is open for its cause: go on there.")
    logger.info(move.action, extra={"work_order_id": str(order_id)})
    return Done(order=order)


def _refusal(order_id: UUID, move: Move) -> str:
    state = WorkOrder.objects.filter(pk=order_id).values_list("state", flat=True).first()
    if state is None:
        return MISSING
    able = " or ".join(source.label.lower() for source in move.sources)
    return f"It is {WorkOrderState(state).label.lower()}; this takes one that is {able}."


def order_of(order_id: UUID) -> WorkOrder:
    """Raises WorkOrder.DoesNotExist."""
    return WorkOrder.objects.select_related("tenant", "assignee").get(pk=order_id)


def _locked(order_id: UUID) -> WorkOrder | None:
    rows = WorkOrder.objects.select_for_update(of=("self",)).select_related("tenant", "assignee")
    return rows.filter(pk=order_id).first()


def _touch(order: WorkOrder, now: datetime) -> None:
    WorkOrder.objects.filter(pk=order.pk).update(changed_at=now)


def _audit(order: WorkOrder, action: str, actor: Actor, details: dict[str, object]) -> None:
    record(order.tenant.slug, actor, action, f"work_order:{order.pk}", details)


ORIGINS = {LinkKind.DELIVERY: WorkOrderOrigin.DELIVERY, LinkKind.ALERT: WorkOrderOrigin.ALERT}


def origin_of(links: Iterable[tuple[LinkKind, UUID]]) -> WorkOrderOrigin:
    """From the first thing that it is about."""
    return next((ORIGINS[kind] for kind, _ in links if kind in ORIGINS), WorkOrderOrigin.HAND)
