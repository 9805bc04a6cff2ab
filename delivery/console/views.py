"""The console's pages: read, one service call, answer."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from audit.audited_admin import actor_of
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.detail import pretty_event, timeline
from delivery.models import ApprovalKind, Attempt, Delivery, LinkKind
from delivery.order.pass_over import in_line, pass_over
from delivery.replay import refusal_of, replay, why_approval
from delivery.states import OPEN_STATUSES, DeliveryStatus
from delivery.work_orders.linking import orders_of
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import require, within
from eventcenter.tracing.w3c import trace_id_of

LIVE_ID = "live"  # the part of a page that polls replace


class DeliveryDetail(ConsoleView):
    def get(self, request: HttpRequest, delivery_id: UUID) -> HttpResponse:
        delivery = _delivery(delivery_id, self.principal)
        attempts = list(Attempt.objects.filter(delivery_id=delivery_id))
        context = {
            "delivery": delivery,
            "is_open": delivery.state in OPEN_STATUSES,
            "steps": timeline(delivery, attempts),
            "trace_id": trace_id_of(delivery.event.traceparent),
            "blocks_its_key": delivery.state is DeliveryStatus.DEAD and in_line(delivery_id),
            "may_replay": self.principal.may(Permission.REPLAY, delivery.tenant_id),
            "may_operate": self.principal.may(Permission.OPERATE, delivery.tenant_id),
            "needs_approval": why_approval(delivery),
        }
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_delivery.html", context)
        context["orders"] = orders_of(LinkKind.DELIVERY, delivery_id)
        context["event_json"] = pretty_event(bytes(delivery.event.body))
        return render(request, "console/delivery.html", context)


class DeliveryReplay(ConsoleView):
    """GET asks, POST does: the same without JavaScript."""

    permission = Permission.REPLAY

    def get(self, request: HttpRequest, delivery_id: UUID) -> HttpResponse:
        delivery = _delivery(delivery_id, self.principal, self.permission)
        if why_approval(delivery):
            return _ask(ApprovalKind.DELIVERY_REPLAY, delivery_id)
        context = {"delivery": delivery, "refusal": refusal_of(delivery, delivery.endpoint)}
        return render(request, "console/replay.html", context)

    def post(self, request: HttpRequest, delivery_id: UUID) -> HttpResponse:
        _delivery(delivery_id, self.principal, self.permission)
        result = replay(delivery_id, actor_of(request))
        if result:
            messages.success(request, f"Replay queued. {result.note}".strip())
        else:
            messages.error(request, f"Not replayed. {result.refusal}")
        return redirect("delivery", delivery_id)


class DeliveryPassOver(ConsoleView):
    """A dead delivery that holds up its partition key: GET asks, POST does."""

    permission = Permission.OPERATE

    def get(self, request: HttpRequest, delivery_id: UUID) -> HttpResponse:
        delivery = _delivery(delivery_id, self.principal, self.permission)
        if why_approval(delivery):
            return _ask(ApprovalKind.DELIVERY_PASS_OVER, delivery_id)
        return render(request, "console/pass_over.html", {"delivery": delivery})

    def post(self, request: HttpRequest, delivery_id: UUID) -> HttpResponse:
        _delivery(delivery_id, self.principal, self.permission)
        result = pass_over(delivery_id, actor_of(request))
        if result:
            messages.success(request, "Passed over. The next delivery of its key goes now.")
        else:
            messages.error(request, f"Not passed over. {result.refusal}")
        return redirect("delivery", delivery_id)


def _ask(kind: ApprovalKind, delivery_id: UUID) -> HttpResponse:
    """To the page that asks a second person."""
    return redirect(f"{reverse('approval-new')}?{urlencode({'kind': kind.value, 'target': str(delivery_id)})}")


def _delivery(delivery_id: UUID, principal: Principal, permission: Permission = Permission.VIEW) -> Delivery:
    """Raises Http404 or PermissionDenied."""
    rows = Delivery.objects.select_related("event", "subscription", "endpoint", "tenant")
    delivery = get_object_or_404(within(rows, principal), pk=delivery_id)
    require(principal, permission, delivery.tenant_id)
    return delivery
