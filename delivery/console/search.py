"""The search page; its findings are also the command palette's, as a part of a page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from delivery.console import chosen_tenant
from delivery.console.access import ConsoleView
from delivery.console.asked import htmx_of
from delivery.console.finding import find
from eventcenter.search import LENGTH_MOST

PALETTE_ID = "palette-found"


class SearchPage(ConsoleView):
    """?q=TEXT. An id that names exactly one thing leads to it."""

    def get(self, request: HttpRequest) -> HttpResponse:
        text = request.GET.get("q", "")[:LENGTH_MOST]
        found = find(text, self.principal, chosen_tenant.chosen(request))
        if htmx_of(request).target == PALETTE_ID:
            return render(request, "console/_palette.html", {"found": found})
        if found.only_thing is not None:
            return redirect(found.only_thing.url)
        return render(request, "console/search.html", {"found": found})
