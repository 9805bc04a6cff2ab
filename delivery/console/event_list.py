"""The events list: its filters, and which rows they find. By index where there is one, else within a bounded window."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest

from delivery.console.list_filter import tenant_field
from delivery.console.log_filter import Field, LogFilter
from delivery.console.window import Window, newest
from eventcenter.access.principal import Principal, principal_of
from eventcenter.access.roles import Permission
from eventcenter.ids import id_floor
from eventcenter.lookup import matching_events
from eventcenter.models import Event, EventType
from eventcenter.search import Sought, sought
from subscriptions.models import Tenant

FOUND_MOST = 200

_VIEW = Permission.VIEW

Rows = TypeVar("Rows", bound=QuerySet[Any])


def filter_of(request: HttpRequest) -> LogFilter:
    """Two queries: the tenants, and the types by name."""
    tenant = tenant_field(request)
    types = EventType.objects.order_by("name").values_list("name", flat=True).distinct()
    fields = (
        Field("q", "Search", "search", every="Id, trace, plugin or plugin@version"),
        Field("tenant", tenant.label, "choice", tenant.every, tenant.choices),
        Field("type", "Type", choices=[(name, name) for name in types]),
        Field("plugin", "Plugin"),
        Field("tag", "Tag"),
        Field("source", "Source"),
        Field("since", "From (UTC)", "moment"),
        Field("until", "Before (UTC)", "moment"),
    )
    return LogFilter.of(request.GET, fields)


def found(applied: LogFilter, request: HttpRequest, before: UUID | None) -> tuple[QuerySet[Event], Window | None]:
    """The events that fit, and how far back was looked for them; None where an index finds them all. Two queries at most."""
    tenants = _tenants(applied, principal_of(request))
    rows = Event.objects.all() if tenants is None else Event.objects.filter(tenant_id__in=sorted(tenants))
    rows = in_span(rows, applied.moment("since"), applied.moment("until"))
    unindexed = _unindexed(applied)
    if applied.text("q") or applied.text("plugin"):
        rows, window = _by_search(applied, rows, tenants, before)
        return rows.filter(**unindexed), window
    if not unindexed:
        return rows, None
    rows, window = newest(rows, before)
    return rows.filter(**unindexed), window


def for_list(rows: QuerySet[Event]) -> QuerySet[Event]:
    """With what a row shows."""
    return rows.select_related("tenant").defer("body")


def in_span(rows: Rows, since: datetime | None, until: datetime | None) -> Rows:
    """By the id, which carries the time."""
    rows = rows.filter(pk__gte=id_floor(since)) if since else rows
    return rows.filter(pk__lt=id_floor(until)) if until else rows


def _tenants(applied: LogFilter, principal: Principal) -> Collection[int] | None:
    """Whose events may be shown; None: everybody's. The choice is among the reader's own tenants."""
    slug = applied.text("tenant")
    return list(Tenant.objects.filter(slug=slug).values_list("pk", flat=True)) if slug else principal.tenant_ids(_VIEW)


def _unindexed(applied: LogFilter) -> dict[str, object]:
    wanted: dict[str, object] = {name: applied.text(name) for name in ("type", "source") if applied.text(name)}
    return wanted | ({"tags__contains": [applied.text("tag")]} if applied.text("tag") else {})


def _by_search(
    applied: LogFilter, rows: QuerySet[Event], tenants: Collection[int] | None, before: UUID | None
) -> tuple[QuerySet[Event], Window]:
    """Of what is meant the newest FOUND_MOST, and of those the ones that fit the other filters."""
    meant, plugin = sought(applied.text("q")), applied.text("plugin")
    if not meant and plugin:
        meant, plugin = Sought(plugin=plugin), ""
    until = applied.moment("until")
    bounds = [bound for bound in (before, id_floor(until) if until else None) if bound is not None]
    begin = min(bounds, default=None)
    ids = [pk for pk, _ in matching_events(meant, tenants, begin, FOUND_MOST)] if meant else []
    rows = rows.filter(pk__in=ids)
    return rows.filter(subject=plugin) if plugin else rows, Window(
        len(ids), ids[-1] if len(ids) == FOUND_MOST else None
    )
