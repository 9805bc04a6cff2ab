"""The console's pages: read, one service call, answer."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone

from audit.audited_admin import actor_of
from delivery import cancelling
from delivery.console import curl
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.detail import live_context, still_context
from delivery.models import ApprovalKind, Delivery
from delivery.order.pass_over import in_line, pass_over
from delivery.rebuilt import rebuilt
from delivery.replay import refusal_of, replay, why_approval
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import require, within

LIVE_ID = "live"  # the part of a page that polls replace


class DeliveryDetail(ConsoleView):
    def get(self, request: HttpRequest, delivery_id: UUID) -> HttpResponse:
        found = _delivery(delivery_id, self.principal)
        context = live_context(found, self.principal, timezone.now())
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_delivery.html", context)
        return render(request, "console/delivery.html", context | still_context(found, self.principal))


class DeliveryCurl(ConsoleView):
    """The request as a command, as plain text: for what is too long for the page."""

    permission = Permission.OPERATE

    def get(self, request: HttpRequest, delivery_id: UUID) -> HttpResponse:
        sent = rebuilt(_delivery(delivery_id, self.principal, self.permission))
        if not curl.is_possible(sent):
            raise Http404
        return HttpResponse(curl.command(sent), content_type="text/plain; charset=utf-8")


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


class DeliveryCancel(ConsoleView):
    """An open delivery that is not to be sent: GET asks, POST does."""

    permission = Permission.OPERATE

    def get(self, request: HttpRequest, delivery_id: UUID) -> HttpResponse:
        delivery = _delivery(delivery_id, self.principal, self.permission)
        context = {"delivery": delivery, "refusal": cancelling.refusal_of(delivery), "in_line": in_line(delivery_id)}
        return render(request, "console/cancel.html", context)

    def post(self, request: HttpRequest, delivery_id: UUID) -> HttpResponse:
        _delivery(delivery_id, self.principal, self.permission)
        result = cancelling.cancel(delivery_id, actor_of(request))
        if result:
            messages.success(request, "Cancelled. It is not sent any more; a replay would send it after all.")
        else:
            messages.error(request, f"Not cancelled. {result.refusal}")
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
