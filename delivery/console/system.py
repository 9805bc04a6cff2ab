"""The console's page of the system itself, for the platform's people: where is it stuck, and what of it is missing?"""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from delivery.console.access import ConsoleView, htmx_of
from delivery.console.views import LIVE_ID
from delivery.console.wording import error_words
from delivery.system import installed
from delivery.system.reading import System, read
from eventcenter.access.roles import Permission


class SystemPage(ConsoleView):
    """What it shows belongs to no tenant: for people who may see every one."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if not self.principal.may(Permission.VIEW, None):
            raise PermissionDenied
        system = read(timezone.now())
        context = {"system": system, "held": _held(system), "breakers": system.gauges.breakers.items()}
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_system.html", context)
        return render(request, "console/system.html", context | _installed(system))


def _held(system: System) -> list[tuple[str, int]]:
    """Words and count by reason, the most first."""
    return sorted(((error_words(kind), count) for kind, count in system.gauges.held.items()), key=lambda pair: -pair[1])


def _installed(system: System) -> dict[str, object]:
    """What changes with a release or a switch: read with the page, not with every poll."""
    versions = installed.versions()
    if system.tables.value is not None:
        versions.append(installed.Version("PostgreSQL", system.tables.value.server.version))
    if system.queues.value is not None:
        versions.append(installed.Version("Queue", system.queues.value.version))
    return {
        "versions": versions,
        "web": installed.web_process(),
        "web_since": installed.STARTED_AT,
        "migrations": installed.migrations(),
        "flags": list(installed.flags()),
        "revision": installed.revision(),
        "settings_shown": installed.shown_settings(),
    }
