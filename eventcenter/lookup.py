"""Events by what somebody searches for, each by an index that row-level security lets a page use (docs/adr/0027)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, LiteralString
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from eventcenter.ids import id_floor, id_time
from eventcenter.models import Event
from eventcenter.search import Sought

MATCHES_MOST = 200
RECENT_EVENTS = 2_000  # whose plugins are looked through for a reader of some tenants
PREFIX_LEAST = 3
LAST_CHARACTER = "\U0010ffff"

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=(1 << 128) - 1)
LAST_TIME_MS = 253_000_000_000_000  # of the year 9987: what claims to be later is no time that a calendar has
# A release is looked for in the last hour, the rest of the day, the rest of the week, and before. Most searches end early,
# and a plugin that publishes all the time is not read through to its beginning.
WINDOWS = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))

# Index: eventcenter_event_release. OFFSET 0 keeps PostgreSQL from going through all ids in their order instead, in the hope
# of meeting enough: for a name that nobody has it would read everything. What is joined by UNION ALL is read in turn.
WINDOW: LiteralString = """
(SELECT id, tenant_id FROM (
    SELECT id, tenant_id FROM eventcenter_event WHERE {meant} {ours} AND id >= {first} AND id < {end} OFFSET 0
) AS found ORDER BY id DESC LIMIT %(most)s)
"""
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
    if sought.plugin or sought.version:
        found |= _of_release(sought, tenant_ids, before, most)
    return sorted(found, reverse=True)[:most]


def _of_release(
    sought: Sought, tenant_ids: Collection[int] | None, before: UUID | None, most: int
) -> set[tuple[UUID, int]]:
    """Window after window, until there are enough."""
    given = {"subject": sought.plugin, "version": sought.version}
    meant = " AND ".join(f"{name} = %({name})s" for name, value in given.items() if value)
    ours = "" if tenant_ids is None else "AND tenant_id = ANY(%(tenants)s)"
    ends = _window_ends(before)
    parameters: dict[str, Any] = {**given, "tenants": sorted(tenant_ids or ()), "most": most}
    parameters |= {f"end_{place}": end for place, end in enumerate(ends)}
    windows = (
        WINDOW.format(meant=meant, ours=ours, first=f"%(end_{place + 1})s", end=f"%(end_{place})s")
        for place in range(len(ends) - 1)
    )
    with connection.cursor() as cursor:
        cursor.execute(f"{' UNION ALL '.join(windows)} LIMIT %(most)s", parameters)
        return set(cursor.fetchall())


def _window_ends(before: UUID | None) -> list[UUID]:
    """Newest first; each window ends where the one before it began."""
    newest = before or LAST_ID
    at = min(id_time(before), timezone.now()) if before and before.int >> 80 < LAST_TIME_MS else timezone.now()
    begins = [min(id_floor(at - span), newest) for span in WINDOWS]
    return [newest, *begins, FIRST_ID]


def _meanings(sought: Sought) -> list[Q]:
    """Each with an index of its own: of two that are joined by OR PostgreSQL would take neither in the order of ids."""
    meanings = [Q(pk=sought.id)] if sought.id else []
    return [*meanings, Q(trace=UUID(sought.trace_id))] if sought.trace_id else meanings


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
