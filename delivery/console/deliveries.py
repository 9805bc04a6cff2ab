"""The console's list of deliveries, and its export."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from audit.audited_admin import actor_of
from delivery.console import export
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.filters import (
    PRESETS,
    DeliveryFilter,
    clean_query,
    needs_redirect,
    redirected,
    subscriber_choices,
    visible_tenants,
)
from delivery.console.listing import Listing, listed, mark_now, mark_of
from delivery.console.paging import Cursor
from delivery.console.views import LIVE_ID
from delivery.console.wanted import Wanted
from eventcenter import row_security
from eventcenter.models import EventType

# Rows say "12 s ago": after so long they are said anew, even if nothing else has changed.
SAID_FOR_S = 5


class DeliveryList(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        if needs_redirect(request.GET):
            return redirect(f"{reverse('deliveries')}?{redirected(request.GET, timezone.now())}".rstrip("?"))
        asked, cursor = DeliveryFilter(request.GET, self.principal), Cursor.of(request.GET)
        wanted, is_poll = asked.wanted, htmx_of(request).target == LIVE_ID
        if is_poll and wanted and is_as_seen(request.GET.get("seen", ""), wanted, timezone.now()):
            return HttpResponse(status=204)
        context = live_context(asked, cursor, listed(wanted, cursor) if wanted else Listing([]))
        if is_poll:
            return render(request, "console/_deliveries.html", context)
        return render(request, "console/deliveries.html", {**context, **form_context(request, asked)})


class DeliveryExport(ConsoleView):
    """All that fit, not a page of them, row by row; ?format=csv or json (one object a line)."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        asked = DeliveryFilter(request.GET, self.principal)
        form = export.FORMATS.get(request.GET.get("format", ""))
        if asked.wanted is None or form is None:
            return render(request, "console/export_refused.html", {"filter": asked, "format": form}, status=400)
        now = timezone.now()
        export.audit(asked.wanted, asked.query, form, actor_of(request))
        lines = export.pieces(form.write(export.rows(asked.wanted, now)))
        content = row_security.streaming(lines, self.principal.scope())
        headers = {"Content-Disposition": f'attachment; filename="{export.file_name(form, now)}"'}
        return StreamingHttpResponse(content, content_type=form.content_type, headers=headers)


def is_as_seen(seen: str, wanted: Wanted, now: datetime) -> bool:
    """Whether the page that was told `seen` would be the same now. `seen` is SECONDS-MARK, as `live_context` gives it."""
    at, _, mark = seen.partition("-")
    is_young = at.isdecimal() and len(at) < 12 and 0 <= now.timestamp() - int(at) < SAID_FOR_S
    return is_young and mark == mark_now(wanted)


def live_context(asked: DeliveryFilter, cursor: Cursor, listing: Listing) -> dict[str, Any]:
    query = asked.query
    return {
        "page": listing,
        "is_newest": cursor.is_newest and not asked.errors,
        "is_wrong": bool(asked.errors),
        "query": query.urlencode(),
        "filters": [(name, value) for name, values in query.lists() for value in values],
        "seen": f"{int(timezone.now().timestamp())}-{mark_of(listing.rows)}",
        "cancel_url": reverse("cancel-new"),
    }


def form_context(request: HttpRequest, asked: DeliveryFilter) -> dict[str, Any]:
    """What the form offers: not asked for by polls."""
    tenant = asked.cleaned_data.get("tenant")
    subscriber = asked.cleaned_data.get("subscriber")
    return {
        "filter": asked,
        "pills": list(asked.pills()),
        "tenants": list(visible_tenants(request).values_list("slug", flat=True)),
        "subscribers": subscriber_choices(asked.principal, tenant.pk if tenant else None),
        "subscriber": subscriber,
        "types": list(EventType.objects.order_by("name").values_list("name", flat=True).distinct()),
        "presets": [(value, label) for value, (label, _) in PRESETS.items()],
        "without_since": _without(asked, "since"),
    }


def _without(asked: DeliveryFilter, name: str) -> str:
    left = clean_query(asked.query)
    left.pop(name, None)
    return left.urlencode()
