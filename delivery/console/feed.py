"""The feed: what the console channel delivered, newest first."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from delivery.console.access import ConsoleView, htmx_of
from delivery.console.paging import Cursor, Page, page_of
from delivery.console.views import LIVE_ID
from delivery.console.wording import severity_tone
from delivery.models import FeedItem
from eventcenter.access.principal import Principal
from eventcenter.access.scoping import within
from subscriptions.models import Tenant

_SLUG = re.compile(r"[a-z0-9-]{1,63}")  # what else a URL may hold, PostgreSQL would refuse (U+0000)


class FeedLine(NamedTuple):
    item: FeedItem
    tone: str


class FeedList(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        slug, cursor = request.GET.get("tenant", ""), Cursor.of(request.GET)
        if request.GET.get("tenant") == "":  # a form sends its empty field, too
            return redirect("feed")
        page = _page(slug, cursor, self.principal)
        context = {
            "page": page,
            "lines": [FeedLine(item, severity_tone(item.severity)) for item in page.rows],
            "is_newest": cursor.is_newest,
            "query": urlencode({"tenant": slug}) if slug else "",
        }
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_feed.html", context)
        visible = within(Tenant.objects.order_by("slug"), self.principal, column="id")
        tenants = list(visible.values_list("slug", flat=True))
        return render(request, "console/feed.html", {**context, "tenants": tenants, "tenant": slug})


def _page(slug: str, cursor: Cursor, principal: Principal) -> Page[FeedItem]:
    """By the tenant's id, so that its index is used; a slug that nobody has shows nothing."""
    rows = within(FeedItem.objects.select_related("tenant", "endpoint"), principal)
    if slug:
        known = Tenant.objects.filter(slug=slug) if _SLUG.fullmatch(slug) else Tenant.objects.none()
        rows = rows.filter(tenant_id__in=list(known.values_list("pk", flat=True)))
    return page_of(rows, cursor)
