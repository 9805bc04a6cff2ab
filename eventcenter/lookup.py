"""Events by what somebody searches for, each by an index that row-level security lets a page use (docs/adr/0027)."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db.models import Q, QuerySet

from eventcenter.models import Event
from eventcenter.search import Sought

MATCHES_MOST = 200


def matching_events(
    sought: Sought, tenant_ids: Collection[int] | None, before: UUID | None = None, most: int = MATCHES_MOST
) -> list[tuple[UUID, int]]:
    """(event id, tenant id) of what is meant, newest first, older than `before`. One query, two for 32 hex digits.

    `tenant_ids` None: of all tenants. An event from before its version and its trace were kept is found by id and plugin
    alone.
    """
    rows = Event.objects.all() if tenant_ids is None else Event.objects.filter(tenant_id__in=sorted(tenant_ids))
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = {pair for meant in _meanings(sought) for pair in _newest(rows.filter(meant), most)}
    return sorted(found, reverse=True)[:most]


def _meanings(sought: Sought) -> list[Q]:
    """Each with an index of its own: of two that are joined by OR PostgreSQL would take neither in the order of ids."""
    meanings = [Q(pk=sought.id)] if sought.id else []
    if sought.trace_id:
        meanings.append(Q(trace=UUID(sought.trace_id)))
    release = {"subject": sought.plugin, "version": sought.version}
    given = {name: value for name, value in release.items() if value}
    return [*meanings, Q(**given)] if given else meanings


def _newest(rows: QuerySet[Event], most: int) -> list[tuple[UUID, int]]:
    return list(rows.order_by("-pk").values_list("pk", "tenant_id")[:most])
