"""The rejected messages' pages: the list, one message, and sending them on once they would be taken."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from audit.audited_admin import actor_of
from delivery.console import rejected_list, wording
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.log_filter import LogFilter
from delivery.console.paging import COUNT_MOST, Cursor, capped_count, page_of
from delivery.console.payload import shown
from delivery.console.reingest_batch import BATCH_MOST, Batch, batch_of, foreseen, send_on
from delivery.console.window import COUNT_MOST as FEW_MOST
from delivery.console.window import oldest
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import require
from eventcenter.ids import id_time
from eventcenter.models import Event, RejectedEvent
from eventcenter.reingest import Fate, Verdict, judge, reingest, tenant_id_of

LIVE_ID = "live"


class RejectedList(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        applied, cursor = rejected_list.filter_of(request), Cursor.of(request.GET)
        if "" in request.GET.values():
            return redirect(f"{reverse('rejected-events')}?{applied.query}".rstrip("?"))
        context = _rows(applied, self.principal, cursor)
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_rejected_events.html", context)
        context["presets"] = applied.presets(timezone.now())
        return render(request, "console/rejected_events.html", context)


class RejectedPage(ConsoleView):
    def get(self, request: HttpRequest, rejected_id: UUID) -> HttpResponse:
        row = _row(rejected_id, self.principal)
        context = {
            **_judged(row),
            "wrong": rejected_list.wrong_fields(row.detail),
            "value": shown(bytes(row.value)),
            "key": shown(bytes(row.key)) if row.key is not None else None,
            "may_operate": self.principal.may(Permission.OPERATE, tenant_id_of(row)),
        }
        return render(request, "console/rejected_event.html", context)


class RejectedValue(ConsoleView):
    """The message's value, byte for byte, to keep."""

    def get(self, request: HttpRequest, rejected_id: UUID) -> HttpResponse:
        row = _row(rejected_id, self.principal)
        headers = {"content-disposition": f'attachment; filename="rejected-{rejected_id}.bin"'}
        return HttpResponse(bytes(row.value), content_type="application/octet-stream", headers=headers)


class RejectedReingest(ConsoleView):
    """GET asks, POST does."""

    permission = Permission.OPERATE

    def get(self, request: HttpRequest, rejected_id: UUID) -> HttpResponse:
        row = _row(rejected_id, self.principal, self.permission)
        return render(request, "console/rejected_reingest.html", _judged(row))

    def post(self, request: HttpRequest, rejected_id: UUID) -> HttpResponse:
        _row(rejected_id, self.principal, self.permission)
        (verdict,) = reingest([rejected_id], actor_of(request))
        level, words = _told(verdict)
        messages.add_message(request, level, words)
        return redirect("rejected-event", rejected_id)


class RejectedReingestAll(ConsoleView):
    """The same for the oldest that a filter finds, up to what one request takes; then the next ones are asked about."""

    permission = Permission.OPERATE

    def get(self, request: HttpRequest) -> HttpResponse:
        applied, batch = self._batch(request)
        tally = foreseen(batch.ids, timezone.now())
        context = {"filter": applied, "batch": batch, "tally": tally, "most": BATCH_MOST}
        context["further"] = applied.query_with(after=str(batch.last))
        return render(request, "console/rejected_reingest_all.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        applied, batch = self._batch(request)
        tally = send_on(batch.ids, actor_of(request))
        messages.success(
            request, wording.reingested_words(tally.accepted, tally.duplicates, tally.refused, tally.settled)
        )
        if batch.more:
            return redirect(f"{reverse('rejected-reingest-all')}?{applied.query_with(after=str(batch.last))}")
        return redirect(f"{reverse('rejected-events')}?{applied.query}".rstrip("?"))

    def _batch(self, request: HttpRequest) -> tuple[LogFilter, Batch]:
        """Of a press no newer than what was confirmed."""
        applied, after = rejected_list.filter_of(request), Cursor.of(request.GET).after
        rows = rejected_list.indexed(rejected_list.visible(self.principal, self.permission), applied)
        within_window, window = oldest(rows, after)
        until = Cursor.of(request.POST).before
        return applied, batch_of(rejected_list.narrowed(within_window, applied).waiting(), window, until)


def _rows(applied: LogFilter, principal: Principal, cursor: Cursor) -> dict[str, object]:
    found, window = rejected_list.found(applied, principal, cursor.before)
    count, more = capped_count(found, FEW_MOST if window else COUNT_MOST)
    page = page_of(found.for_list(), cursor)
    is_newest = cursor.is_newest
    return {"filter": applied, "page": page, "window": window, "count": count, "more": more, "is_newest": is_newest}


def _row(rejected_id: UUID, principal: Principal, permission: Permission = Permission.VIEW) -> RejectedEvent:
    """Raises Http404 or PermissionDenied."""
    row = rejected_list.visible(principal).filter(pk=rejected_id).first()
    if row is None:
        raise Http404
    if permission is not Permission.VIEW:
        require(principal, permission, tenant_id_of(row))
    return row


def _judged(row: RejectedEvent) -> dict[str, object]:
    """`has_event`: the event that it became, or is a duplicate of, has been ingested."""
    verdict = judge([row], timezone.now())[0]
    has_event = verdict.event_id is not None and Event.objects.filter(pk=verdict.event_id).exists()
    return {"row": row, "verdict": verdict, "rejected_at": id_time(row.pk), "has_event": has_event}


def _told(verdict: Verdict) -> tuple[int, str]:
    match verdict.fate:
        case Fate.ACCEPTED:
            return messages.SUCCESS, "Sent to the bus. Its event appears below within a second or two."
        case Fate.DUPLICATE:
            return messages.WARNING, "Nothing was sent: its event is known already. It is settled as a duplicate."
        case Fate.SETTLED:
            return messages.WARNING, "Nothing was done: it was settled already."
        case Fate.REFUSED:
            return messages.ERROR, f"Not sent: it would still be rejected. {verdict.detail}"
