"""Events by what somebody searches for, each by an index that row-level security lets a page use (docs/adr/0027)."""

from __future__ import annotations

from collections.abc import Collection
from typing import LiteralString
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from eventcenter.models import Event
from eventcenter.search import Sought

MATCHES_MOST = 200
RECENT_EVENTS = 2_000  # whose plugins are looked through for a reader of some tenants
PREFIX_LEAST = 3
LAST_CHARACTER = "\U0010ffff"

# Index: eventcenter_event_release, one step of it for each name (a loose index scan), whatever the database's collation.
PLUGINS_FROM: LiteralString = """
WITH RECURSIVE near (subject, place) AS (
    (SELECT subject, 1 FROM eventcenter_event WHERE subject ~>=~ %(first)s AND subject ~<~ %(end)s
        ORDER BY subject USING ~<~ LIMIT 1)
    UNION ALL
    SELECT (SELECT e.subject FROM eventcenter_event e WHERE e.subject ~>~ near.subject AND e.subject ~<~ %(end)s
        ORDER BY e.subject USING ~<~ LIMIT 1), place + 1
    FROM near WHERE near.subject IS NOT NULL AND place < %(most)s
)
SELECT subject FROM near WHERE subject IS NOT NULL
"""


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


def plugins_near(text: str, tenant_ids: Collection[int] | None, most: int) -> list[str]:
    """Plugins (subjects of events) whose names begin like the text; where none does, like its first half, or its first letters.

    For a reader of some tenants: of those that were published lately. At most three queries.
    """
    for prefix in dict.fromkeys((text, text[: max(len(text) // 2, PREFIX_LEAST)], text[:PREFIX_LEAST])):
        found = _all_from(prefix, most) if tenant_ids is None else _recent_from(prefix, tenant_ids, most)
        if found:
            return found
    return []


def _all_from(prefix: str, most: int) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(PLUGINS_FROM, {"first": prefix, "end": prefix + LAST_CHARACTER, "most": most})
        return [row[0] for row in cursor.fetchall()]


def _recent_from(prefix: str, tenant_ids: Collection[int], most: int) -> list[str]:
    """A step from name to name would meet every other tenant's rows on its way: here a bounded number is read instead."""
    recent = Event.objects.filter(tenant_id__in=sorted(tenant_ids)).order_by("-pk").values_list("subject", flat=True)
    return sorted({subject for subject in recent[:RECENT_EVENTS] if subject.startswith(prefix)})[:most]
