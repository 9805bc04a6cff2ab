"""The SQL over breakers that workers run: a named statement a function. Rows are always locked in the order of endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, LiteralString
from uuid import UUID

from delivery.health.breaker import Health
from eventcenter.store import columns_of, execute, rows

_FIELDS = tuple(field.name for field in fields(Health))
_VALUES = attrgetter(*_FIELDS)
COLUMNS: LiteralString = ", ".join(_FIELDS)
_ASSIGNMENTS: LiteralString = ", ".join(f"{name} = t.{name}" for name in _FIELDS)
# A scan: the table has a row only for endpoints that failed within about a day (delivery.health.endpoints.watch deletes others).
MATTERING: LiteralString = f"""
SELECT endpoint_id, {COLUMNS} FROM delivery_breaker
WHERE state <> 'closed' OR failing_since IS NOT NULL OR openings > 0 OR hold_until > %s OR window_at > %s
"""
# Index: primary key.
ONE: LiteralString = f"SELECT endpoint_id, {COLUMNS} FROM delivery_breaker WHERE endpoint_id = ANY(%s)"
LOCK: LiteralString = f"{ONE} ORDER BY endpoint_id FOR UPDATE"
# Before LOCK, never after it: whoever waits for a row here holds none yet.
ENSURE: LiteralString = """
INSERT INTO delivery_breaker (endpoint_id, tenant_id, state, reason, by_hand, openings, hold_reason, consecutive, succeeded,
    failed, succeeded_before, failed_before, warned_percent)
SELECT endpoint_id, tenant_id, 'closed', '', false, 0, '', 0, 0, 0, 0, 0, 0
FROM unnest(%b::bigint[], %b::bigint[]) AS t (endpoint_id, tenant_id) ORDER BY endpoint_id
ON CONFLICT (endpoint_id) DO NOTHING
"""
# Index: primary key.
SAVE: LiteralString = f"""
UPDATE delivery_breaker b SET {_ASSIGNMENTS}, updated_at = now()
FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::boolean[], %b::timestamptz[], %b::timestamptz[], %b::timestamptz[],
    %b::uuid[], %b::timestamptz[], %b::smallint[], %b::timestamptz[], %b::text[], %b::integer[], %b::timestamptz[],
    %b::integer[], %b::integer[], %b::integer[], %b::integer[], %b::timestamptz[], %b::smallint[])
    AS t (endpoint_id, {COLUMNS})
WHERE b.endpoint_id = t.endpoint_id
"""
# Index: primary key. Says the same as delivery.health.breaker.probe_is_due and probing; of all processes one wins.
CLAIM_PROBE: LiteralString = """
UPDATE delivery_breaker SET state = 'half_open', next_probe_at = NULL, probe_delivery_id = %s, probe_until = %s,
    updated_at = now()
WHERE endpoint_id = %s AND (hold_until IS NULL OR hold_until <= %s)
    AND (state = 'open' AND next_probe_at <= %s OR state = 'half_open' AND (probe_until IS NULL OR probe_until <= %s))
"""


def _healths(found: Sequence[tuple[Any, ...]]) -> dict[int, Health]:
    return {row[0]: Health(*row[1:]) for row in found}


def mattering(now: datetime, windows: timedelta) -> dict[int, Health]:
    """By endpoint, those that delivery.health.breaker.matters finds worth knowing; `windows`: the length of two."""
    return _healths(rows(MATTERING, [now, now - windows]))


def read(endpoint_id: int) -> Health | None:
    return _healths(rows(ONE, [[endpoint_id]])).get(endpoint_id)


def ensure(pairs: Sequence[tuple[int, int]]) -> None:
    """Make rows that say nothing for (endpoint id, tenant id) pairs without one. Before `lock`, in the same transaction."""
    if pairs:
        execute(ENSURE, columns_of(sorted(pairs)))


def lock(endpoint_ids: Sequence[int]) -> dict[int, Health]:
    """In a transaction: the rows are the caller's until its end. Endpoints without a row are left out."""
    return _healths(rows(LOCK, [sorted(endpoint_ids)]))


def save(healths: Mapping[int, Health]) -> None:
    """Write locked rows back."""
    if healths:
        execute(SAVE, columns_of([(key, *_VALUES(healths[key])) for key in sorted(healths)]))


def claim_probe(endpoint_id: int, delivery_id: UUID, now: datetime, until: datetime) -> bool:
    """Whether this delivery became the endpoint's one probe."""
    return execute(CLAIM_PROBE, [delivery_id, until, endpoint_id, now, now, now]) == 1
