"""Approvals as people and programs handle them: asked for, decided by a second person, withdrawn, expired. All audited."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.approvals import rules
from delivery.approvals.actions import ACTIONS, Plan, Refusal
from delivery.approvals.people import people_behind, person_behind
from delivery.models import Approval, ApprovalKind, ApprovalQuerySet, ApprovalState
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission

logger = logging.getLogger(__name__)

SWEEP = Actor("system:sweep")
EXPIRED_MOST = 100  # in one transaction of the sweep
DONE = "Done as it was asked for."


@dataclass(frozen=True, slots=True)
class Asked:
    """`approval`: the one that waits now, which may have been asked for before. Without one `refusal` says why.

    `missing`: there is nothing of that id that the caller may see; `forbidden`: they may only look.
    """

    approval: Approval | None = None
    is_new: bool = False
    refusal: str = ""
    missing: bool = False
    forbidden: bool = False


@dataclass(frozen=True, slots=True)
class Decided:
    """`refusal` says to people why nothing was decided; empty when it was. `forbidden`: it is not theirs to decide.

    `failure`: approved, but it could not be done any more, and why.
    """

    refusal: str = ""
    forbidden: bool = False
    failure: str = ""

    def __bool__(self) -> bool:
        return not self.refusal


def ask(kind: ApprovalKind, target_id: str, asker: Principal, reason: str, now: datetime | None = None) -> Asked:
    """For what the asker could do alone, if it did not need a second person. Who asks twice gets what waits already."""
    planned = plan_for(kind, target_id, asker)
    if isinstance(planned, Asked):
        return planned
    words = rules.refusal_of_reason(reason)
    if words:
        return Asked(refusal=words)
    return _asked(kind, planned, asker, reason, now or timezone.now())


def plan_for(kind: ApprovalKind, target_id: str, asker: Principal) -> Plan | Asked:
    """What would be asked for, or why it cannot be."""
    action = ACTIONS[kind]
    planned = action.plan(target_id)
    tenant_id = _tenant_id(planned)
    needs = planned.needs or action.permission
    may, may_look = (asker.may(permission, tenant_id) for permission in (needs, Permission.VIEW))
    if (isinstance(planned, Refusal) and planned.missing) or not (may or may_look):
        return Asked(refusal="There is no such object.", missing=True)
    if not may:
        return Asked(refusal=f"Asking takes the permission {needs} there.", forbidden=True)
    return Asked(refusal=planned.words) if isinstance(planned, Refusal) else planned


def _tenant_id(planned: Plan | Refusal) -> int | None:
    if isinstance(planned, Refusal):
        return planned.tenant_id
    return planned.tenant.pk if planned.tenant else None


def _asked(kind: ApprovalKind, plan: Plan, asker: Principal, reason: str, now: datetime) -> Asked:
    """One waits at a time for a target: of two who ask at once, the second one joins the first."""
    expire(now, target=plan.target)
    found = waiting_of(kind, plan.target)
    if found is not None:
        return Asked(found)
    try:
        with transaction.atomic():
            approval = Approval.objects.create(
                tenant=plan.tenant,
                kind=kind,
                target=plan.target,
                arguments=plan.arguments,
                summary=plan.summary,
                reason=reason,
                requested_by=asker.name,
                requested_by_user_id=person_behind(asker),
                requested_at=now,
                expires_at=rules.expiry(now, settings.APPROVAL_EXPIRES_HOURS),
            )
            _audit(
                approval, "requested", asker.actor, {"reason": reason, "expires_at": approval.expires_at.isoformat()}
            )
    except IntegrityError:
        found = waiting_of(kind, plan.target)
        return Asked(found) if found else Asked(refusal="Somebody else asked, and it is decided already.")
    logger.info("approval.requested", extra={"approval_id": str(approval.pk), "kind": kind.value})
    return Asked(approval, is_new=True)


def waiting_of(kind: ApprovalKind, target: str) -> Approval | None:
    """Index: approval_asked_once."""
    rows = Approval.objects.select_related("tenant")
    return rows.filter(kind=kind, target=target, state=ApprovalState.REQUESTED).first()


def approve(approval_id: UUID, decider: Principal, reason: str, now: datetime | None = None) -> Decided:
    """The yes and what was asked for are one transaction; the usual service does it. What is no longer possible ends as
    failed, and is not tried again. Of two who decide at once, one wins.
    """
    return _decide(approval_id, ApprovalState.APPROVED, decider, reason, now or timezone.now())


def reject(approval_id: UUID, decider: Principal, reason: str, now: datetime | None = None) -> Decided:
    return _decide(approval_id, ApprovalState.REJECTED, decider, reason, now or timezone.now())


def _decide(approval_id: UUID, to: ApprovalState, decider: Principal, reason: str, now: datetime) -> Decided:
    with transaction.atomic():
        approval = approval_of(approval_id)
        words = refusal_of_decider(approval, decider)
        if words:
            return Decided(words, forbidden=True)
        decided = {
            "decided_by": decider.name,
            "decided_by_user_id": decider.user_id,
            "decided_at": now,
            "decision_reason": reason,
        }
        words = rules.refusal_of_reason(reason)
        if words or not _move(approval, to, now, **decided):
            return Decided(words or _refusal(approval_id, now))
        failure = _carry_out(approval, decider.actor) if to is ApprovalState.APPROVED else ""
        details: dict[str, object] = {"reason": reason, "requested_by": approval.requested_by}
        if failure:
            _audit(approval, "failed", decider.actor, details | {"why": failure})
        else:
            _audit(approval, to.value, decider.actor, details)
    logger.info("approval.decided", extra={"approval_id": str(approval_id), "to": to.value, "failed": bool(failure)})
    return Decided(failure=failure)


def _carry_out(approval: Approval, actor: Actor) -> str:
    with transaction.atomic():
        failure = ACTIONS[ApprovalKind(approval.kind)].carry_out(approval.arguments, actor)
        if failure:
            transaction.set_rollback(True)
    changes: dict[str, object] = {"outcome": failure or DONE}
    if failure:
        changes["state"] = ApprovalState.FAILED
    Approval.objects.filter(pk=approval.pk, state__in=rules.sources_of(ApprovalState.FAILED)).update(**changes)
    return failure


def withdraw(approval_id: UUID, caller: Principal, now: datetime | None = None) -> Decided:
    """By who asked."""
    moment = now or timezone.now()
    with transaction.atomic():
        approval = approval_of(approval_id)
        if not may_withdraw(approval, caller):
            return Decided("Only who asked can withdraw it.", forbidden=True)
        changes = {"decided_by": caller.name, "decided_by_user_id": caller.actor.user_id, "decided_at": moment}
        if not _move(approval, ApprovalState.WITHDRAWN, moment, **changes):
            return Decided(_refusal(approval_id, moment))
        _audit(approval, "withdrawn", caller.actor, {})
    return Decided()


def expire(now: datetime, target: str = "") -> int:
    """What nobody decided in time; at most EXPIRED_MOST, of one target when it is given. Several may run."""
    with transaction.atomic():
        rows = Approval.objects.overdue(now).filter(**{"target": target} if target else {})
        overdue = list(rows.select_for_update(skip_locked=True, of=("self",)).select_related("tenant")[:EXPIRED_MOST])
        for approval in overdue:
            Approval.objects.filter(pk=approval.pk).update(state=ApprovalState.EXPIRED, decided_at=now)
            _audit(approval, "expired", SWEEP, {"requested_by": approval.requested_by})
    return len(overdue)


def _move(approval: Approval, to: ApprovalState, now: datetime, **changes: object) -> bool:
    """A conditional UPDATE along the table of legal moves; what is overdue moves no more, swept or not."""
    waiting = Approval.objects.filter(pk=approval.pk, state__in=rules.sources_of(to), expires_at__gt=now)
    return bool(waiting.update(state=to, **changes))


def _refusal(approval_id: UUID, now: datetime) -> str:
    approval = approval_of(approval_id)
    return rules.refusal_of_state(approval.status, approval.expires_at, now, approval.decided_by)


def approval_of(approval_id: UUID) -> Approval:
    """Raises Approval.DoesNotExist."""
    return Approval.objects.select_related("tenant").get(pk=approval_id)


def refusal_of_decider(approval: Approval, decider: Principal) -> str:
    """Why it is not theirs to decide; "" when it is."""
    asked_by = people_behind(approval.requested_by)
    if approval.requested_by_user_id is not None:
        asked_by.add(approval.requested_by_user_id)
    return rules.refusal_of_decider(
        is_person=decider.is_person,
        may_approve=decider.may(Permission.APPROVE, approval.tenant_id),
        decider=decider.user_id,
        requesters=asked_by,
    )


def may_withdraw(approval: Approval, caller: Principal) -> bool:
    same_person = approval.requested_by_user_id is not None and approval.requested_by_user_id == caller.user_id
    return same_person or approval.requested_by == caller.name


def visible_to(principal: Principal) -> ApprovalQuerySet:
    """Of the tenants where they may look; and what they asked for themselves, as a publish key that sees nothing else."""
    rows = Approval.objects.select_related("tenant")
    tenants = principal.tenant_ids(Permission.VIEW)
    return rows if tenants is None else rows.filter(Q(tenant_id__in=tenants) | Q(requested_by=principal.name))


def waiting_for(principal: Principal, now: datetime) -> ApprovalQuerySet:
    """What that person may decide now."""
    if not principal.is_person:
        return Approval.objects.none()
    rows = Approval.objects.waiting(now).seen_by(principal.tenant_ids(Permission.APPROVE))
    return rows.exclude(requested_by_user_id=principal.user_id)


def of_target(kind: ApprovalKind, target: str) -> Approval | None:
    """The last one of the kind for that target, decided or not. Index: approval_target."""
    return Approval.objects.filter(kind=kind, target=target).order_by("-id").first()


def _audit(approval: Approval, verb: str, actor: Actor, details: dict[str, object]) -> None:
    """In its tenant's chain; in the platform's when it goes across tenants."""
    chain = approval.tenant.slug if approval.tenant else PLATFORM_CHAIN
    about: dict[str, object] = {"kind": approval.kind, "target": approval.target}
    record(chain, actor, f"approval.{verb}", f"approval:{approval.pk}", about | details)
