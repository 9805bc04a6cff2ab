"""The console's pages of approvals: what waits, one with its decision, a new one."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from delivery.approvals import service
from delivery.approvals.actions import Plan
from delivery.approvals.rules import REASON_LENGTH_MOST
from delivery.approvals.service import Asked, Decided
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.list_filter import Field, ListFilter, tenant_field
from delivery.console.paging import PAGE_ROWS, Cursor, page_of
from delivery.console.views import LIVE_ID
from delivery.models import Approval, ApprovalKind, ApprovalQuerySet, ApprovalState, LinkKind
from delivery.work_orders.linking import orders_of
from eventcenter.access.principal import Principal

STATE = Field("state", "State", "All states", [(state.value, state.label) for state in ApprovalState])
KIND = Field("kind", "What", "All kinds", [(kind.value, kind.label) for kind in ApprovalKind])
DONE_WORDS = {
    "approve": "Approved and done.",
    "reject": "Rejected; nothing was done.",
    "withdraw": "Withdrawn; nothing was done.",
}


class ApprovalList(ConsoleView):
    """What waits stands first; below it what is over, newest first."""

    def get(self, request: HttpRequest) -> HttpResponse:
        principal, cursor = self.principal, Cursor.of(request.GET)
        applied = ListFilter.of(request.GET.dict(), [STATE, KIND, tenant_field(request)])
        if "" in request.GET.values():  # a form without JavaScript sends its empty fields, too
            return redirect(f"{reverse('approvals')}?{applied.query}".rstrip("?"))
        rows = _filtered(service.visible_to(principal), applied)
        waits_first, now = not applied.chosen("state"), timezone.now()
        over = rows.exclude(state=ApprovalState.REQUESTED) if waits_first else rows
        context = {
            "waiting": _waiting(rows, now) if waits_first and cursor.is_newest else [],
            "mine": set(service.waiting_for(principal, now).values_list("pk", flat=True)[:PAGE_ROWS]),
            "page": page_of(over, cursor),
            "filter": applied,
            "is_newest": cursor.is_newest,
            "now": now,
        }
        live = htmx_of(request).target == LIVE_ID
        return render(request, "console/_approval_list.html" if live else "console/approvals.html", context)


def _waiting(rows: ApprovalQuerySet, now: datetime) -> list[Approval]:
    """The most urgent first."""
    return list(rows.waiting(now).order_by("expires_at")[:PAGE_ROWS])


def _filtered(rows: ApprovalQuerySet, applied: ListFilter) -> ApprovalQuerySet:
    given = {"state": applied.chosen("state"), "kind": applied.chosen("kind"), "tenant__slug": applied.chosen("tenant")}
    return rows.filter(**{name: value for name, value in given.items() if value})


class ApprovalPage(ConsoleView):
    def get(self, request: HttpRequest, approval_id: UUID) -> HttpResponse:
        return _page(request, _approval(self.principal, approval_id), self.principal)


def _page(request: HttpRequest, approval: Approval, principal: Principal, reason: str = "") -> HttpResponse:
    now = timezone.now()
    is_waiting = approval.status is ApprovalState.REQUESTED and now < approval.expires_at
    context = {
        "approval": approval,
        "is_waiting": is_waiting,
        "is_overdue": approval.status is ApprovalState.REQUESTED and not is_waiting,
        "cannot_decide": service.refusal_of_decider(approval, principal),
        "may_withdraw": service.may_withdraw(approval, principal),
        "orders": orders_of(LinkKind.APPROVAL, approval.pk),
        "reason": reason,
        "reason_most": REASON_LENGTH_MOST,
    }
    return render(request, "console/approval.html", context)


class ApprovalMove(ConsoleView):
    """POST only: approve, reject, withdraw."""

    def post(self, request: HttpRequest, approval_id: UUID, action: str) -> HttpResponse:
        principal = self.principal
        approval = _approval(principal, approval_id)
        if action not in DONE_WORDS:
            raise Http404
        reason = request.POST.get("reason", "")
        decided = _moved(approval.pk, action, principal, reason)
        if decided.forbidden:
            raise PermissionDenied(decided.refusal)
        if decided.failure:
            messages.warning(request, f"Approved, but it is not possible any more: {decided.failure}")
        elif decided:
            messages.success(request, DONE_WORDS[action])
        else:
            messages.error(request, decided.refusal)
            return _page(request, service.approval_of(approval.pk), principal, reason)
        return redirect("approval", approval.pk)


def _moved(approval_id: UUID, action: str, principal: Principal, reason: str) -> Decided:
    if action == "withdraw":
        return service.withdraw(approval_id, principal)
    decide = service.approve if action == "approve" else service.reject
    return decide(approval_id, principal, reason)


class ApprovalNew(ConsoleView):
    """?kind=KIND&target=ID. GET shows what would be asked for, POST asks."""

    def get(self, request: HttpRequest) -> HttpResponse:
        kind, target = _asked_for(request)
        planned = service.plan_for(kind, target, self.principal)
        if isinstance(planned, Asked):
            return _refused(request, planned)
        waiting = service.waiting_of(kind, planned.target)
        if waiting is not None and timezone.now() < waiting.expires_at:
            return redirect("approval", waiting.pk)
        return _form(request, kind, planned)

    def post(self, request: HttpRequest) -> HttpResponse:
        kind, target = _asked_for(request)
        principal, reason = self.principal, request.POST.get("reason", "")
        asked = service.ask(kind, target, principal, reason)
        if asked.approval is not None:
            messages.success(request, "Asked for." if asked.is_new else "Somebody had asked for it already.")
            return redirect("approval", asked.approval.pk)
        planned = service.plan_for(kind, target, principal)
        if isinstance(planned, Asked):
            return _refused(request, planned)
        return _form(request, kind, planned, reason=reason, problem=asked.refusal)


def _asked_for(request: HttpRequest) -> tuple[ApprovalKind, str]:
    kind = request.GET.get("kind", "")
    if kind not in ApprovalKind.values:
        raise Http404
    return ApprovalKind(kind), request.GET.get("target", "")


def _form(request: HttpRequest, kind: ApprovalKind, plan: Plan, **more: str) -> HttpResponse:
    context = {"kind": kind, "plan": plan, "reason_most": REASON_LENGTH_MOST}
    return render(request, "console/approval_new.html", context | more)


def _refused(request: HttpRequest, asked: Asked) -> HttpResponse:
    if asked.missing:
        raise Http404
    if asked.forbidden:
        raise PermissionDenied(asked.refusal)
    return render(request, "console/approval_new.html", {"refusal": asked.refusal}, status=409)


def _approval(principal: Principal, approval_id: UUID) -> Approval:
    approval = service.visible_to(principal).filter(pk=approval_id).first()
    if approval is None:
        raise Http404
    return approval
