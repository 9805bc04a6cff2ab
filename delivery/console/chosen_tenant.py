"""The tenant that a reader has chosen to look at, kept in the session for the ways from page to page.

The URL stays the truth: a list shows what its ?tenant= says, and being asked for sets or clears what is kept. It grants
nothing: each page goes by what its reader may see.
"""

from __future__ import annotations

import re

from django.http import HttpRequest

from delivery.console import navigation
from delivery.console.asked import htmx_of
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import within
from subscriptions.models import Tenant

KEPT_AS = "tenant"
MAIN_ID = "main"  # what a person's filter replaces; a poll replaces less
_SLUG = re.compile(r"[a-z0-9-]{1,63}")


def chosen(request: HttpRequest) -> str:
    """Its slug; "" for all."""
    return str(request.session.get(KEPT_AS, "")) if hasattr(request, "session") else ""


def choose(request: HttpRequest, slug: str, principal: Principal) -> bool:
    """Whether it is one that the reader may see, or "" for all; then it is kept. Writes the session on a change alone."""
    if slug == chosen(request):
        return True
    if not slug:
        del request.session[KEPT_AS]
        return True
    if not may_see(slug, principal):
        return False
    request.session[KEPT_AS] = slug
    return True


def note(request: HttpRequest, principal: Principal) -> None:
    """Called with each request for a page: a list that a person asks for says what is chosen from here on."""
    htmx, match = htmx_of(request), request.resolver_match
    by_person = request.method == "GET" and (not htmx or htmx.target == MAIN_ID)
    if by_person and match is not None and navigation.takes_tenant(match.url_name or ""):
        choose(request, request.GET.get("tenant", ""), principal)


def may_see(slug: str, principal: Principal) -> bool:
    rows = within(Tenant.objects.order_by(), principal, Permission.VIEW, column="id")
    return bool(_SLUG.fullmatch(slug)) and rows.filter(slug=slug).exists()
