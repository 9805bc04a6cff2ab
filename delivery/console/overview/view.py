"""The overview: read, one service call a part, answer."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from delivery.console.access import ConsoleView, htmx_of
from delivery.console.overview import page
from delivery.console.overview.period import DEFAULT, PERIODS, chosen
from delivery.console.overview.scope import scope_of
from delivery.console.views import LIVE_ID

BY_MINUTE_ID = "by-minute"  # the part that follows the counters


class Overview(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        now, period = timezone.now(), chosen(request.GET.get("period"))
        scope = scope_of(self.principal, request.GET.get("tenant", ""))
        found = page.standings(scope, span := period.span(now))
        asked = {"tenant": scope.slug, "period": "" if period is DEFAULT else period.key}
        query = urlencode({name: value for name, value in asked.items() if value})
        context = {"scope": scope, "period": period, "periods": PERIODS.values(), "span": span, "query": query}
        target = htmx_of(request).target
        if target != BY_MINUTE_ID:
            context |= page.now_part(scope, period, found, now)
        if target == LIVE_ID:
            return render(request, "console/_overview_now.html", context)
        context |= page.minute_part(scope, period, found, now)
        if target == BY_MINUTE_ID:
            return render(request, "console/_overview_by_minute.html", context)
        return render(request, "console/overview.html", context | {"is_fresh": page.is_fresh(scope, found)})
