"""The events' pages: the list, one event with its plan, and its bytes as they are sent."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone

from delivery.console import event_detail, event_list
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.event_plan import plan_of
from delivery.console.event_standing import standings
from delivery.console.log_filter import LogFilter
from delivery.console.paging import COUNT_MOST, Cursor, capped_count, page_of
from delivery.console.window import COUNT_MOST as FEW_MOST
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import within
from eventcenter.models import Event

LIVE_ID = "live"


class EventList(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        applied, cursor = event_list.filter_of(request), Cursor.of(request.GET)
        if "" in request.GET.values():  # a form sends its empty fields, too
            return redirect(f"{reverse('events')}?{applied.query}".rstrip("?"))
        context = {"filter": applied, "is_newest": cursor.is_newest, **_rows(applied, request, cursor)}
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_events.html", context)
        context["presets"] = applied.presets(timezone.now())
        return render(request, "console/events.html", context)


class EventPage(ConsoleView):
    def get(self, request: HttpRequest, event_id: UUID) -> HttpResponse:
        event = _event(event_id, self.principal)
        plan = plan_of(event)
        context = {
            "event": event,
            "plan": plan,
            "is_open": plan.is_open,
            "may_replay": self.principal.may(Permission.REPLAY, event.tenant_id),
        }
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_event_plan.html", context)
        return render(request, "console/event.html", {**context, **event_detail.context_of(event)})


class EventBody(ConsoleView):
    """The CloudEvent as webhooks get it, byte for byte, to keep."""

    def get(self, request: HttpRequest, event_id: UUID) -> HttpResponse:
        event = _event(event_id, self.principal)
        headers = {"content-disposition": f'attachment; filename="event-{event_id}.json"'}
        return HttpResponse(bytes(event.body), content_type="application/cloudevents+json", headers=headers)


def _event(event_id: UUID, principal: Principal) -> Event:
    """Raises Http404."""
    return get_object_or_404(within(Event.objects.select_related("tenant"), principal), pk=event_id)


def _rows(applied: LogFilter, request: HttpRequest, cursor: Cursor) -> dict[str, object]:
    found, window = event_list.found(applied, request, cursor.before)
    count, more = capped_count(found, FEW_MOST if window else COUNT_MOST)
    page = page_of(event_list.for_list(found), cursor)
    standing = standings(page.rows)
    rows = [(row, standing.get(row.pk, [])) for row in page.rows]
    return {"page": page, "rows": rows, "window": window, "count": count, "more": more}
