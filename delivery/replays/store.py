"""The SQL of replays: looking through deliveries in the order of their ids, and the one statement that begins a new round.

A look reads a bounded number of rows, however few of them fit, so that no step is long. Its index is, by what the
criteria give: delivery_delivery_subscription; delivery_delivery_dead when only the dead are asked for, else
delivery_delivery_tenant; without a tenant the primary key. The ids bound the partitions that are read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString, NamedTuple
from uuid import UUID

from psycopg import sql

from delivery.models import DispatchLane
from delivery.replays.criteria import ENDED, Criteria
from delivery.store import id_bounds
from eventcenter.ids import id_floor
from eventcenter.store import cursor, rows

_MILLISECOND_IDS = 1 << 80
_LAST_ID = UUID(int=(1 << 128) - 1)


class Span(NamedTuple):
    """Ids beyond `after` and below `before`."""

    after: UUID
    before: UUID


class Found(NamedTuple):
    """A delivery that fits the criteria now."""

    id: UUID
    endpoint_id: int
    has_event: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found, in the order of ids. `reached`: the last id it has dealt with; None: nothing is left."""

    found: list[Found]
    reached: UUID | None


def span_of(criteria: Criteria, bound: datetime) -> Span:
    """All ids that can fit. `bound` keeps later deliveries out; what is named one by one cannot be joined by others."""
    after = id_floor(criteria.since).int - 1 if criteria.since else 0
    before = _LAST_ID.int if criteria.is_explicit else id_floor(bound).int
    if criteria.until:
        before = min(before, id_floor(criteria.until).int)
    if criteria.event_id:
        floor = criteria.event_id.int // _MILLISECOND_IDS * _MILLISECOND_IDS
        after, before = max(after, floor - 1), min(before, floor + _MILLISECOND_IDS)
    if criteria.ids:
        after, before = max(after, min(criteria.ids).int - 1), min(before, max(criteria.ids).int + 1)
    return Span(UUID(int=max(after, 0)), UUID(int=min(max(before, 0), _LAST_ID.int)))


# The scalar sub-selects stay one index probe a row: as joins they could become a scan of all events.
_LOOKED = sql.SQL("""
WITH looked AS MATERIALIZED (
    SELECT id, event_id, endpoint_id, status, finished_at, dead_at FROM delivery_delivery
    WHERE id > %(after)s AND id < %(before)s {narrow} ORDER BY id LIMIT %(looks)s
)""")
LOOK = sql.SQL("""
{looked}, fits AS (
    SELECT id, event_id, endpoint_id FROM looked WHERE {fits} ORDER BY id LIMIT %(most)s
)
SELECT (SELECT count(*) FROM looked), (SELECT id FROM looked ORDER BY id DESC LIMIT 1),
    coalesce(array_agg(id ORDER BY id), ARRAY[]::uuid[]), array_agg(endpoint_id ORDER BY id),
    array_agg((SELECT true FROM eventcenter_event e WHERE e.id = fits.event_id) IS TRUE ORDER BY id)
FROM fits
""")
COUNT = sql.SQL("""
{looked}
SELECT (SELECT count(*) FROM looked), (SELECT id FROM looked ORDER BY id DESC LIMIT 1), count(*) FROM looked WHERE {fits}
""")
# Index: the escalations' primary key, then the deliveries'; it ends at the first.
ESCALATED = sql.SQL("""
SELECT EXISTS (
    SELECT FROM (
        SELECT d.* FROM delivery_escalation x JOIN delivery_delivery d ON d.id = x.delivery_id AND d.replays = x.replays
        WHERE x.delivery_id > %(after)s AND x.delivery_id < %(before)s AND d.id > %(after)s AND d.id < %(before)s
    ) AS looked WHERE status = 'dead' {narrow} AND {fits}
)
""")
# Index: primary key. In the order of ids, so that two replays of the same deliveries wait for each other. next_attempt_at
# is the moment of this transaction, as is the new dispatch's created_at: an older dispatch that is run again leaves the
# new round alone (delivery.store.LOAD).
REQUEUE: LiteralString = """
WITH ended AS (
    SELECT id FROM delivery_delivery
    WHERE id = ANY(%(ids)s) AND id >= %(floor)s AND id <= %(ceiling)s AND status = ANY(%(ended)s) ORDER BY id FOR UPDATE
)
UPDATE delivery_delivery d SET status = 'pending', replays = least(d.replays + 1, 32767), tries = 0, round_at = %(now)s,
    next_attempt_at = now(), due_at = NULL, held_reason = '', finished_at = NULL, dead_at = NULL,
    cancelled_at = NULL, dead_reason = '',
    earlier_deaths = CASE WHEN d.dead_at IS NULL THEN d.earlier_deaths ELSE array_append(d.earlier_deaths, d.dead_at) END
FROM ended WHERE d.id = ended.id AND d.id >= %(floor)s AND d.id <= %(ceiling)s RETURNING d.id
"""
# Index: primary keys; the bounds prune the days.
REPLAYED: LiteralString = """
SELECT d.id, d.replays::integer, e.traceparent FROM delivery_delivery d
JOIN eventcenter_event e ON e.id = d.event_id AND e.id >= %(floor)s AND e.id <= %(ceiling)s
WHERE d.id = ANY(%(ids)s) AND d.id >= %(floor)s AND d.id <= %(ceiling)s
"""
# A scan of the dispatches, which are few: it ends at the cap.
OUTSTANDING: LiteralString = """
SELECT count(*) FROM (SELECT FROM delivery_dispatch WHERE lane = %s AND not_before IS NULL LIMIT %s) AS waiting
"""


def look(criteria: Criteria, span: Span, looks: int, most: int) -> Look:
    """Up to `most` deliveries that fit, from up to `looks` rows."""
    with cursor() as cur:
        parameters = _parameters(criteria, span) | {"looks": looks, "most": most}
        row = cur.execute(_composed(LOOK, criteria), parameters, binary=True).fetchone()
    assert row is not None
    looked, last, ids, endpoints, events = row
    found = [Found(*item) for item in zip(ids, endpoints or (), events or (), strict=True)]
    if len(found) == most:
        return Look(found, found[-1].id)
    return Look(found, last if looked == looks else None)


def count(criteria: Criteria, span: Span, looks: int) -> tuple[int, UUID | None]:
    """How many of up to `looks` rows fit, and the last one that was looked at; None: nothing is left."""
    with cursor() as cur:
        parameters = _parameters(criteria, span) | {"looks": looks}
        row = cur.execute(_composed(COUNT, criteria), parameters, binary=True).fetchone()
    assert row is not None
    looked, last, fitting = row
    return int(fitting), last if looked == looks else None


def takes_escalated(criteria: Criteria, span: Span) -> bool:
    """Whether a delivery whose death called a person fits them (delivery.approvals.escalation)."""
    parts = {"narrow": sql.SQL("").join(_narrow(criteria)), "fits": sql.SQL(" AND ").join(_fits(criteria))}
    with cursor() as cur:
        row = cur.execute(ESCALATED.format(**parts), _parameters(criteria, span), binary=True).fetchone()
    return bool(row and row[0])


def requeue(ids: Sequence[UUID], now: datetime) -> set[UUID]:
    """Begin a new round of those that have ended; returns which these were. The caller's transaction dispatches them."""
    if not ids:
        return set()
    floor, ceiling = id_bounds(ids)
    parameters = {"ids": list(ids), "floor": floor, "ceiling": ceiling, "ended": list(ENDED), "now": now}
    with cursor() as cur:
        return {row[0] for row in cur.execute(REQUEUE, parameters, binary=True)}


def replayed(ids: Collection[UUID]) -> list[tuple[UUID, int, str]]:
    """(id, which round it is in, its event's traceparent), for traces; without those whose event is past its retention."""
    if not ids:
        return []
    floor, ceiling = id_bounds(list(ids))
    with cursor() as cur:
        return cur.execute(REPLAYED, {"ids": list(ids), "floor": floor, "ceiling": ceiling}, binary=True).fetchall()


def outstanding(most: int) -> int:
    """Dispatches of the retry lane that were to go at once and are not done; counts up to `most`."""
    return int(rows(OUTSTANDING, [DispatchLane.RETRY.value, most])[0][0])


def _composed(statement: sql.SQL, criteria: Criteria) -> sql.Composed:
    looked = _LOOKED.format(narrow=sql.SQL("").join(_narrow(criteria)))
    return statement.format(looked=looked, fits=sql.SQL(" AND ").join(_fits(criteria)))


def _narrow(criteria: Criteria) -> list[sql.SQL]:
    """What an index serves: rows that it leaves out are not looked at."""
    parts = []
    if criteria.tenant_id:
        parts.append(sql.SQL(" AND tenant_id = %(tenant_id)s"))
    if criteria.subscription_id:
        parts.append(sql.SQL(" AND subscription_id = %(subscription_id)s"))
    if criteria.only_dead:
        parts.append(sql.SQL(" AND dead_at IS NOT NULL"))
    if criteria.ids:
        parts.append(sql.SQL(" AND id = ANY(%(ids)s)"))
    return parts


def _fits(criteria: Criteria) -> list[sql.SQL]:
    """What is asked of each row that was looked at."""
    parts = [sql.SQL("status = ANY(%(statuses)s)")]
    if criteria.endpoint_id:
        parts.append(sql.SQL("endpoint_id = %(endpoint_id)s"))
    if criteria.event_id:
        parts.append(sql.SQL("event_id = %(event_id)s"))
    if criteria.ended_since:
        # What was cancelled without a time of its end is dated by its plan.
        parts.append(
            sql.SQL(
                "(coalesce(dead_at, finished_at) >= %(ended_since)s OR"
                " coalesce(dead_at, finished_at) IS NULL AND id >= %(ended_floor)s)"
            )
        )
    if criteria.types:
        parts.append(sql.SQL("(SELECT type FROM eventcenter_event e WHERE e.id = looked.event_id) = ANY(%(types)s)"))
    return parts


def _parameters(criteria: Criteria, span: Span) -> dict[str, object]:
    return {
        "after": span.after,
        "before": span.before,
        "tenant_id": criteria.tenant_id,
        "subscription_id": criteria.subscription_id,
        "endpoint_id": criteria.endpoint_id,
        "statuses": list(criteria.statuses),
        "types": list(criteria.types),
        "ids": list(criteria.ids),
        "event_id": criteria.event_id,
        "ended_since": criteria.ended_since,
        "ended_floor": id_floor(criteria.ended_since) if criteria.ended_since else None,
    }
