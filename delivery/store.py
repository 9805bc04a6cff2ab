"""The hot path's SQL over deliveries, dispatches, attempts and counters: a named statement a function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString, NamedTuple
from uuid import UUID

from django.conf import settings

from delivery.counters import LATENCY_BOUNDS_MS
from delivery.outcome import ErrorKind
from delivery.planning import PlannedDelivery
from eventcenter.store import columns_of, cursor, execute, rows


class Hint(NamedTuple):
    """What a Celery message carries, and the queue it goes to. `countdown_s` > 0: to be run that much later."""

    lane: str
    dispatch_id: int
    token: int
    countdown_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NewDispatch:
    """A batch to be sent. `not_before` None: at once; the lease runs from it."""

    lane: str
    delivery_ids: list[UUID]
    not_before: datetime | None = None
    endpoint_id: int | None = None  # where all are one endpoint's, let go from its held ones


class Claimed(NamedTuple):
    """What a claim gives: the batch, the moment that it was made for, and who had it before and went silent."""

    delivery_ids: list[UUID]
    planned_for: datetime
    lost_tokens: Sequence[int] = ()
    lost_workers: Sequence[str] = ()


class Loaded(NamedTuple):
    """One open delivery as a worker needs it: its own columns and its event's. No `body`: the event is past retention."""

    id: UUID
    endpoint_id: int
    subscription_id: int
    status: str
    attempts: int
    tries: int
    replays: int
    round_at: datetime
    body: bytes | None
    traceparent: str | None
    tenant_id: int
    tracestate: str | None = None


class ResultRow(NamedTuple):
    """What one outcome makes of one delivery. The order of the fields is the order of RECORD's arrays.

    `outcome` "deferred" spends no attempt and leaves no attempt row.
    """

    delivery_id: UUID
    dispatch_id: int
    token: int
    status: str
    next_attempt_at: datetime | None
    due_at: datetime | None
    held_reason: str
    dead_reason: str
    started_at: datetime
    duration_ms: float
    outcome: str
    status_code: int | None
    error_kind: str
    error: str
    response_headers: str  # JSON
    response_body: bytes
    remote_address: str
    latency_ms: float | None  # acceptance → 2xx, where it counts


COPY_DELIVERIES: LiteralString = """
COPY delivery_delivery (id, tenant_id, event_id, subscription_id, endpoint_id, round_at) FROM STDIN (FORMAT BINARY)
"""
DELIVERY_TYPES = ("uuid", "int8", "uuid", "int8", "int8", "timestamptz")
COPY_WAITING: LiteralString = """
COPY delivery_delivery (id, tenant_id, event_id, subscription_id, endpoint_id, round_at, held_reason, next_attempt_at)
FROM STDIN (FORMAT BINARY)
"""
WAITING_TYPES = (*DELIVERY_TYPES, "text", "timestamptz")
INSERT_DISPATCH: LiteralString = """
INSERT INTO delivery_dispatch (lane, token, delivery_ids, endpoint_id, not_before, claimed_by, lease_until, created_at)
VALUES (%s, 0, %s, %s, %s, '', coalesce(%s, now()) + make_interval(secs => %s), now()) RETURNING id
"""
# Index: primary key. Compare-and-set on the token: of several messages for one dispatch, one wins.
CLAIM: LiteralString = """
UPDATE delivery_dispatch SET token = token + 1, claimed_by = %s, lease_until = now() + make_interval(secs => %s)
WHERE id = %s AND token = %s RETURNING delivery_ids, coalesce(not_before, created_at), lost_tokens, lost_workers
"""
# Index: primary keys of one or two days' partitions: the id bounds prune, the ids find. A dispatch may run again after its
# worker died: what had failed or was held by then has a later next_attempt_at, and a dispatch of its own or the sweep.
LOAD: LiteralString = """
SELECT d.id, d.endpoint_id, d.subscription_id, d.status, d.attempts, d.tries, d.replays, d.round_at, e.body, e.traceparent,
    d.tenant_id, e.tracestate
FROM delivery_delivery d LEFT JOIN eventcenter_event e ON e.id = d.event_id AND e.id >= %(floor)s AND e.id <= %(ceiling)s
WHERE d.id = ANY(%(ids)s) AND d.id >= %(floor)s AND d.id <= %(ceiling)s AND d.status IN ('pending', 'retrying')
    AND (d.next_attempt_at IS NULL OR d.next_attempt_at <= %(planned_for)s)
"""
_BOUNDS: LiteralString = "ARRAY[" + ", ".join(str(bound) for bound in LATENCY_BOUNDS_MS) + "]::float8[]"
# Index: primary keys. A result counts only while its worker holds the dispatch and the delivery is open. One statement, so
# that the usual group needs no transaction around it. Below 4,096 characters: longer ones psycopg parses at every call.
RECORD: LiteralString = f"""
WITH result AS (
    SELECT r.*, r.outcome <> 'deferred' AS spends FROM unnest(%b::uuid[], %b::bigint[], %b::integer[], %b::text[],
        %b::timestamptz[], %b::timestamptz[], %b::text[], %b::text[], %b::timestamptz[], %b::float8[], %b::text[],
        %b::smallint[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::text[], %b::float8[])
        AS r (delivery_id, dispatch_id, token, status, next_attempt_at, due_at, held_reason, dead_reason, started_at,
            duration_ms, outcome, status_code, error_kind, error, response_headers, response_body, remote_address,
            latency_ms)
    JOIN delivery_dispatch x ON x.id = r.dispatch_id AND x.token = r.token
), moved AS (
    UPDATE delivery_delivery d SET status = r.status, attempts = d.attempts + r.spends::integer,
        tries = d.tries + r.spends::integer, next_attempt_at = r.next_attempt_at, due_at = r.due_at,
        held_reason = r.held_reason, dead_reason = r.dead_reason,
        finished_at = CASE WHEN r.status IN ('delivered', 'dead') THEN now() END,
        dead_at = CASE WHEN r.status = 'dead' THEN now() END,
        last_status_code = CASE WHEN r.spends THEN r.status_code ELSE d.last_status_code END,
        last_error_kind = CASE WHEN r.spends THEN r.error_kind ELSE d.last_error_kind END
    FROM result r
    WHERE d.id = r.delivery_id AND d.id >= %s AND d.id <= %s AND d.status IN ('pending', 'retrying')
    RETURNING d.id, d.tenant_id, d.endpoint_id, d.attempts, d.replays > 0 AS replay
), tried AS (
    INSERT INTO delivery_attempt (delivery_id, number, started_at, duration_ms, outcome, status_code, error_kind, error,
        response_headers, response_body, remote_address, worker, replay, latency_ms)
    SELECT m.id, m.attempts, r.started_at, r.duration_ms, r.outcome, r.status_code, r.error_kind, r.error,
        r.response_headers::jsonb, r.response_body, r.remote_address, %s, m.replay, r.latency_ms
    FROM result r JOIN moved m ON m.id = r.delivery_id WHERE r.spends
    ON CONFLICT DO NOTHING
), counted AS (
    INSERT INTO delivery_deliverycounter AS c (minute, endpoint_id, shard, tenant_id, attempts, first_attempts,
        first_delivered, delivered, failed, retried, dead, deferred, signature_refused, latency_buckets, latency_ms_sum)
    SELECT date_trunc('minute', now()), m.endpoint_id, %s, m.tenant_id, count(*) FILTER (WHERE r.spends),
        count(*) FILTER (WHERE r.spends AND m.attempts = 1),
        count(*) FILTER (WHERE r.status = 'delivered' AND m.attempts = 1),
        count(*) FILTER (WHERE r.status = 'delivered'),
        count(*) FILTER (WHERE r.spends AND r.status <> 'delivered'), count(*) FILTER (WHERE r.spends AND m.attempts > 1),
        count(*) FILTER (WHERE r.status = 'dead'), count(*) FILTER (WHERE NOT r.spends),
        count(*) FILTER (WHERE r.status_code IN (401, 403)),
        delivery_histogram(array_agg(r.latency_ms), {_BOUNDS}), coalesce(sum(round(r.latency_ms)), 0)
    FROM result r JOIN moved m ON m.id = r.delivery_id GROUP BY m.endpoint_id, m.tenant_id ORDER BY m.endpoint_id
    ON CONFLICT (minute, endpoint_id, shard) DO UPDATE SET attempts = c.attempts + excluded.attempts,
        first_attempts = c.first_attempts + excluded.first_attempts,
        first_delivered = c.first_delivered + excluded.first_delivered, delivered = c.delivered + excluded.delivered,
        failed = c.failed + excluded.failed, retried = c.retried + excluded.retried, dead = c.dead + excluded.dead,
        deferred = c.deferred + excluded.deferred,
        signature_refused = c.signature_refused + excluded.signature_refused,
        latency_ms_sum = c.latency_ms_sum + excluded.latency_ms_sum,
        latency_buckets = delivery_add(c.latency_buckets, excluded.latency_buckets)
), finished AS (
    DELETE FROM delivery_dispatch x USING unnest(%b::bigint[], %b::integer[]) AS t (id, token)
    WHERE x.id = t.id AND x.token = t.token
)
SELECT id FROM moved
"""
# Index: primary key.
RENEW: LiteralString = """
UPDATE delivery_dispatch AS x SET lease_until = now() + make_interval(secs => %s)
FROM unnest(%b::bigint[], %b::integer[]) AS t (id, token) WHERE x.id = t.id AND x.token = t.token RETURNING x.id, x.token
"""
DELETE_DISPATCHES: LiteralString = """
DELETE FROM delivery_dispatch x USING unnest(%b::bigint[], %b::integer[]) AS t (id, token)
WHERE x.id = t.id AND x.token = t.token
"""
# The ids are an array in this and the next two: a sub-select with a limit in IN may be run again for each row, and its limit then
# means nothing.
# Index: delivery_dispatch_lease. Of those that nobody claimed, only in lanes whose queues are short: elsewhere the hint is
# most likely still waiting. What a worker had claimed goes on in the retry lane, ahead of any backlog.
RELEASE_EXPIRED: LiteralString = """
UPDATE delivery_dispatch SET token = token + 1, lane = CASE WHEN claimed_by = '' THEN lane ELSE 'retry' END,
    lost_tokens = CASE WHEN claimed_by = '' THEN lost_tokens ELSE lost_tokens || token END,
    lost_workers = CASE WHEN claimed_by = '' THEN lost_workers ELSE lost_workers || claimed_by END,
    claimed_by = '', lease_until = now() + make_interval(secs => %s)
WHERE id = ANY(ARRAY(
    SELECT id FROM delivery_dispatch WHERE lease_until < now() AND (claimed_by <> '' OR lane = ANY(%s))
    ORDER BY lease_until LIMIT %s FOR UPDATE SKIP LOCKED
)) RETURNING lane, id, token
"""
# Index: delivery_dispatch_lease. All that waited in Redis is gone: nobody needs to wait for their leases.
RELEASE_UNCLAIMED: LiteralString = """
UPDATE delivery_dispatch SET token = token + 1, lease_until = now() + make_interval(secs => %s)
WHERE id = ANY(ARRAY(
    SELECT id FROM delivery_dispatch WHERE claimed_by = '' AND lease_until <= %s AND coalesce(not_before <= now(), true)
    ORDER BY lease_until LIMIT %s FOR UPDATE SKIP LOCKED
)) RETURNING lane, id, token
"""
# Index: delivery_dispatch_lease. A worker that lives renews its leases every two seconds.
RELEASE_ORPHANED: LiteralString = """
UPDATE delivery_dispatch SET token = token + 1, claimed_by = '', lane = 'retry', lost_tokens = lost_tokens || token,
    lost_workers = lost_workers || claimed_by, lease_until = now() + make_interval(secs => %s)
WHERE id = ANY(ARRAY(
    SELECT id FROM delivery_dispatch WHERE claimed_by <> '' AND lease_until < now() + make_interval(secs => %s)
    ORDER BY lease_until LIMIT %s FOR UPDATE SKIP LOCKED
)) RETURNING lane, id, token
"""
# Index: delivery_delivery_due (partial), merged over the partitions in the order of due_at.
TAKE_DUE: LiteralString = """
UPDATE delivery_delivery d SET due_at = NULL, held_reason = '', next_attempt_at = least(d.next_attempt_at, now())
FROM (
    SELECT id FROM delivery_delivery WHERE due_at <= now() ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED
) t WHERE d.id = t.id RETURNING d.id, d.endpoint_id
"""
# Index: primary key.
HOLD: LiteralString = """
UPDATE delivery_delivery SET held_reason = %s, next_attempt_at = now(), due_at = now() + make_interval(secs => %s)
WHERE id = ANY(%s) AND id >= %s AND id <= %s
"""
# Index: delivery_delivery_held, one probe a partition and endpoint: a walk from each endpoint to the next.
HELD_ENDPOINTS: LiteralString = """
WITH RECURSIVE held AS (
    (SELECT endpoint_id FROM delivery_delivery WHERE held_reason <> '' AND held_reason <> 'ordering'
        ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.endpoint_id FROM delivery_delivery d WHERE d.held_reason <> '' AND d.held_reason <> 'ordering'
        AND d.endpoint_id > held.endpoint_id ORDER BY d.endpoint_id LIMIT 1)
    FROM held WHERE held.endpoint_id IS NOT NULL
) SELECT endpoint_id FROM held WHERE endpoint_id IS NOT NULL
"""
# Index: delivery_dispatch_endpoint.
OUTSTANDING: LiteralString = """
SELECT endpoint_id, sum(cardinality(delivery_ids)) FROM delivery_dispatch WHERE endpoint_id IS NOT NULL GROUP BY endpoint_id
"""
# Index: delivery_delivery_held, in the order of id: the oldest first.
LET_GO: LiteralString = """
UPDATE delivery_delivery d SET due_at = NULL, held_reason = '', next_attempt_at = least(d.next_attempt_at, now())
FROM (
    SELECT id, held_reason FROM delivery_delivery
    WHERE endpoint_id = %s AND held_reason <> '' AND held_reason <> 'ordering' AND due_at IS NOT NULL
    ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
) t WHERE d.id = t.id RETURNING d.id, t.held_reason
"""


def copy_deliveries(deliveries: Sequence[PlannedDelivery], now: datetime) -> None:
    """Insert planned deliveries, all of them to be covered by dispatches of the same transaction."""
    with cursor() as cur, cur.copy(COPY_DELIVERIES) as copy:
        copy.set_types(DELIVERY_TYPES)
        for row in deliveries:
            copy.write_row((*row[:5], now))


def copy_waiting(deliveries: Sequence[PlannedDelivery], now: datetime) -> None:
    """Insert planned deliveries whose turn has not come; delivery.order.ordering calls them."""
    with cursor() as cur, cur.copy(COPY_WAITING) as copy:
        copy.set_types(WAITING_TYPES)
        for row in deliveries:
            copy.write_row((*row[:5], now, ErrorKind.ORDERING.value, now))


def insert_dispatches(dispatches: Sequence[NewDispatch], lease_s: float, now: datetime) -> list[Hint]:
    """One row a batch, and the hints to publish after the commit."""
    hints = []
    with cursor() as cur:
        for item in dispatches:
            timing = [item.not_before, item.not_before, lease_s]
            parameters = [item.lane, item.delivery_ids, item.endpoint_id, *timing]
            row = cur.execute(INSERT_DISPATCH, parameters, binary=True).fetchone()
            assert row is not None
            wait_s = (item.not_before - now).total_seconds() if item.not_before else 0.0
            hints.append(Hint(item.lane, row[0], 0, max(wait_s, 0.0)))
    return hints


def claim(dispatch_id: int, token: int, worker: str, lease_s: float) -> Claimed | None:
    """The dispatch is held under `token + 1` from here. None: somebody else has it."""
    found = rows(CLAIM, [worker, lease_s, dispatch_id, token])
    return Claimed(*found[0]) if found else None


def load(claimed: Claimed) -> list[Loaded]:
    """The deliveries that are still open and still the dispatch's own, with their events."""
    if not claimed.delivery_ids:
        return []
    floor, ceiling = id_bounds(claimed.delivery_ids)
    parameters = {"ids": claimed.delivery_ids, "planned_for": claimed.planned_for, "floor": floor, "ceiling": ceiling}
    with cursor() as cur:
        return [Loaded(*row) for row in cur.execute(LOAD, parameters, binary=True)]


def record(results: Sequence[ResultRow], finished: Sequence[tuple[int, int]], worker: str, shard: int) -> set[UUID]:
    """Write results and delete the dispatches (id, token) that they finish.

    Returns the deliveries that moved. The others were lost to a newer holder, or had ended.
    """
    floor, ceiling = id_bounds([row.delivery_id for row in results])
    return {row[0] for row in rows(RECORD, [*columns_of(results), floor, ceiling, worker, shard, *_pairs(finished)])}


def renew(held: Sequence[tuple[int, int]], lease_s: float) -> set[tuple[int, int]]:
    """(dispatch id, token) pairs → those that are still held, now for `lease_s` longer."""
    return set(rows(RENEW, [lease_s, *_pairs(held)]))


def delete_dispatches(done: Sequence[tuple[int, int]]) -> None:
    execute(DELETE_DISPATCHES, _pairs(done))


def release_expired(most: int, lease_s: float, lanes: Sequence[str]) -> list[Hint]:
    """Take a new token for up to `most` dispatches whose hint (in one of `lanes`) or worker was lost."""
    return [Hint(*row) for row in rows(RELEASE_EXPIRED, [lease_s, list(lanes), most])]


def release_unclaimed(most: int, lease_s: float, leased_until: datetime) -> list[Hint]:
    """The same for those that nobody has claimed, with leases up to `leased_until`."""
    return [Hint(*row) for row in rows(RELEASE_UNCLAIMED, [lease_s, leased_until, most])]


def release_orphaned(most: int, lease_s: float, silent_s: float) -> list[Hint]:
    """The same for claimed ones whose lease of DISPATCH_LEASE_S was not renewed for `silent_s`: their workers are gone."""
    return [Hint(*row) for row in rows(RELEASE_ORPHANED, [lease_s, settings.DISPATCH_LEASE_S - silent_s, most])]


def take_due(most: int) -> list[tuple[UUID, int]]:
    """(id, endpoint) of deliveries whose time has come, now the caller's to dispatch or hold in the same transaction."""
    return rows(TAKE_DUE, [most])


def hold(ids: Sequence[UUID], reason: str, look_s: float) -> None:
    """Park deliveries of no dispatch; the sweep looks at them after `look_s` at the latest."""
    execute(HOLD, [reason, look_s, list(ids), *id_bounds(ids)])


def held_endpoints() -> list[int]:
    """Endpoints that have held deliveries, in the order of their ids."""
    return [row[0] for row in rows(HELD_ENDPOINTS, [])]


def outstanding() -> dict[int, int]:
    """Endpoint → how many of its deliveries were let go and have not come back."""
    return {endpoint_id: int(count) for endpoint_id, count in rows(OUTSTANDING, [])}


def let_go(endpoint_id: int, most: int) -> list[tuple[UUID, str]]:
    """(id, what had held it) of up to `most` held deliveries, now the caller's to dispatch in the same transaction."""
    return rows(LET_GO, [endpoint_id, most])


def _pairs(held: Sequence[tuple[int, int]]) -> list[list[int]]:
    return columns_of(held) if held else [[], []]


_TIME_MASK = ~((1 << 80) - 1)


def id_bounds(ids: Sequence[UUID]) -> tuple[UUID, UUID]:
    """The whole milliseconds that the ids lie in: bounds for deliveries and for their events, which share the time."""
    low, high = min(ids).int & _TIME_MASK, max(ids).int | ~_TIME_MASK
    return UUID(int=low), UUID(int=high)
