"""The SQL of the subscribers' pages: a named statement a function. Whose rows there are is the request's scope, and the
caller's `tenants` (None: all that there are)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from django.conf import settings
from django.db import connection

from delivery.console.subscribers.trouble import FAILING_WINDOW, Rates, Signs
from delivery.telemetry.sums import BUCKET_SUMS, COUNT_SUMS, Sums
from eventcenter.ids import id_floor
from subscriptions.channels.registry import SPECS

ENDPOINTS_MOST = 5_000
WAITING_MOST = 200  # of an endpoint, in the list
BACKLOG_MOST = 10_000  # of one, on its page
RECENT_MOST = 300
RECENT_WITHIN = timedelta(days=7)
QUEUED_MOST = 10_000
DEAD_MOST = 50_000  # of the tenant
MINUTE = timedelta(minutes=1)

# Of all endpoints that fit. Indexes: primary keys; of the counters a range of five minutes; of alerts alert_open_once_a_key.
SIGNS: LiteralString = """
WITH recent AS (
    SELECT endpoint_id, sum(failed)::bigint AS failed, sum(delivered + failed)::bigint AS results
    FROM delivery_deliverycounter WHERE minute >= %(recent)s GROUP BY endpoint_id
), firing AS (
    SELECT endpoint_id, count(*) AS alerts FROM delivery_alert
    WHERE resolved_at IS NULL AND state = 'firing' AND endpoint_id IS NOT NULL GROUP BY endpoint_id
), secret AS (
    SELECT endpoint_id, max(created_at) AS newest FROM subscriptions_endpointsecret
    WHERE expires_at IS NULL GROUP BY endpoint_id
)
SELECT e.id, t.slug, e.slug, secret.newest, coalesce(firing.alerts, 0), e.state, e.disabled_by_system,
    coalesce(b.state, 'closed'), coalesce(b.by_hand, false), b.failing_since,
    CASE WHEN b.hold_until > %(now)s THEN b.hold_until END,
    coalesce(recent.failed, 0), coalesce(recent.results, 0), e.channel = ANY (%(signed)s::text[]) AND (secret.newest IS NULL
        OR secret.newest + make_interval(days => coalesce(e.rotate_every_days, %(rotate_days)s)) <= %(now)s)
FROM subscriptions_endpoint e
JOIN subscriptions_tenant t ON t.id = e.tenant_id
LEFT JOIN delivery_breaker b ON b.endpoint_id = e.id
LEFT JOIN recent ON recent.endpoint_id = e.id
LEFT JOIN firing ON firing.endpoint_id = e.id
LEFT JOIN secret ON secret.endpoint_id = e.id
WHERE e.archived_at IS NULL
    AND (%(tenants)s::bigint[] IS NULL OR e.tenant_id = ANY (%(tenants)s::bigint[]))
    AND (%(endpoint)s::bigint IS NULL OR e.id = %(endpoint)s::bigint)
    AND (%(tenant)s::text = '' OR t.slug = %(tenant)s) AND (%(channel)s::text = '' OR e.channel = %(channel)s)
    AND (%(state)s::text = '' OR e.state = %(state)s)
    AND (%(text)s::text = '' OR position(%(text)s::text IN lower(concat_ws(' ', t.slug || '/' || e.slug, e.name,
        substring(e.url FROM '^[a-z]+://(?:[^/@?#]*@)?([^/?#]*)')))) > 0)
ORDER BY t.slug, e.slug LIMIT %(most)s
"""
# Index: primary key, one probe a minute and endpoint.
HOUR: LiteralString = f"""
SELECT endpoint_id, {COUNT_SUMS}, {BUCKET_SUMS} FROM delivery_deliverycounter
WHERE minute = ANY (%(minutes)s::timestamptz[]) AND endpoint_id = ANY (%(endpoints)s::bigint[]) GROUP BY endpoint_id
"""
# Index: delivery_delivery_backlog, the first due of each endpoint.
WAITING: LiteralString = """
SELECT e.id, waiting.* FROM unnest(%(endpoints)s::bigint[]) AS e (id) CROSS JOIN LATERAL (
    SELECT count(*) AS many, count(*) FILTER (WHERE held_reason <> ''), min(due_at), min(id::text)::uuid FROM (
        SELECT id, due_at, held_reason FROM delivery_delivery WHERE endpoint_id = e.id AND due_at IS NOT NULL
        ORDER BY due_at LIMIT %(most)s
    ) first
) waiting WHERE waiting.many > 0
"""
# The same index, of one endpoint.
BACKLOG: LiteralString = """
SELECT held_reason, count(*), min(due_at), min(id::text)::uuid FROM (
    SELECT id, due_at, held_reason FROM delivery_delivery WHERE endpoint_id = %(endpoint)s AND due_at IS NOT NULL
    ORDER BY due_at LIMIT %(most)s
) first GROUP BY held_reason ORDER BY count(*) DESC
"""
# Index: delivery_delivery_subscription, the newest of each subscription.
RECENT: LiteralString = """
SELECT newest.id FROM unnest(%(subscriptions)s::bigint[]) AS s (id) CROSS JOIN LATERAL (
    SELECT id FROM delivery_delivery
    WHERE tenant_id = %(tenant)s AND subscription_id = s.id AND endpoint_id = %(endpoint)s AND id >= %(since)s
    ORDER BY id DESC LIMIT %(most)s
) newest ORDER BY newest.id DESC LIMIT %(most)s
"""
# Index: primary key; the bounds prune the days.
ERRORS: LiteralString = """
SELECT error_kind, status_code, count(*), max(started_at), (array_agg(error ORDER BY started_at DESC))[1]
FROM delivery_attempt WHERE delivery_id = ANY (%(ids)s::uuid[]) AND delivery_id >= %(floor)s AND delivery_id <= %(ceiling)s
    AND started_at >= %(since)s AND outcome <> 'delivered'
GROUP BY error_kind, status_code ORDER BY count(*) DESC, max(started_at) DESC LIMIT 12
"""
# Indexes: ordered_delivery_of, the oldest of each subscription: a line's head is the oldest of its key.
BLOCKED: LiteralString = """
SELECT head.subscription_id, d.id, d.event_id, d.dead_at, head.waiting FROM (
    SELECT subscription_id, (array_agg(delivery_id ORDER BY seq))[1] AS delivery_id, count(*) - 1 AS waiting FROM (
        SELECT q.* FROM unnest(%(subscriptions)s::bigint[]) AS s (id) CROSS JOIN LATERAL (
            SELECT seq, order_key, subscription_id, delivery_id FROM delivery_ordereddelivery
            WHERE subscription_id = s.id ORDER BY seq LIMIT %(most)s
        ) q
    ) oldest GROUP BY subscription_id, order_key
) head JOIN delivery_delivery d ON d.id = head.delivery_id AND d.dead_at IS NOT NULL
ORDER BY d.dead_at LIMIT 20
"""

# Index: delivery_delivery_dead, the newest of the tenant's.
DIED: LiteralString = """
SELECT count(*) FROM (
    SELECT endpoint_id, dead_at FROM delivery_delivery WHERE tenant_id = %(tenant)s AND dead_at IS NOT NULL
    ORDER BY id DESC LIMIT %(most)s
) newest WHERE endpoint_id = %(endpoint)s AND dead_at >= %(since)s
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which endpoints: "" and None are all. `text` is looked for in slugs, names and hosts; a URL's path may be a token."""

    tenants: Collection[int] | None = None
    endpoint_id: int | None = None
    tenant: str = ""
    channel: str = ""
    state: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Sighted:
    """An endpoint's names and signs. `newest_secret`: of those that sign without an end."""

    endpoint_id: int
    tenant: str
    slug: str
    newest_secret: datetime | None
    signs: Signs


@dataclass(frozen=True, slots=True)
class Waiting:
    """What has a time to go: `held` of it is held by something, the rest waits to be tried again. `count` stops at a bound.

    `oldest_due` is when the first of it should go; `oldest_id` the one that was accepted first.
    """

    count: int = 0
    held: int = 0
    oldest_due: datetime | None = None
    oldest_id: UUID | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Blocked:
    """A partition key that a dead delivery holds up. `waiting` stops at a bound, too."""

    subscription_id: int
    delivery_id: UUID
    event_id: UUID
    dead_at: datetime
    waiting: int


@dataclass(frozen=True, slots=True)
class Fault:
    """What failed attempts had in common. `example`: what the newest of them said."""

    kind: str
    status_code: int | None
    count: int
    last_at: datetime
    example: str


@dataclass(frozen=True, slots=True)
class Recent:
    """Ids of the newest deliveries; `is_cut`: there are more."""

    ids: list[UUID] = field(default_factory=list)
    is_cut: bool = False


def sighted(wanted: Wanted, now: datetime) -> list[Sighted]:
    """At most ENDPOINTS_MOST, by tenant and slug."""
    found = _rows(SIGNS, _parameters(wanted, now))
    return [_sighted(row) for row in found]


def _parameters(wanted: Wanted, now: datetime) -> dict[str, object]:
    return {
        "tenants": None if wanted.tenants is None else sorted(wanted.tenants),
        "endpoint": wanted.endpoint_id,
        "tenant": wanted.tenant,
        "channel": wanted.channel,
        "state": wanted.state,
        "text": wanted.text.lower(),
        "recent": now - FAILING_WINDOW - MINUTE,
        "signed": [channel.value for channel, spec in SPECS.items() if spec.takes_url],
        "rotate_days": settings.SIGNING_KEY_ROTATE_DAYS,
        "now": now,
        "most": ENDPOINTS_MOST,
    }


def _sighted(row: Sequence[Any]) -> Sighted:
    state, by_system, breaker, by_hand, failing_since, hold_until, failed, results, is_due = row[5:]
    signs = Signs(state, by_system, breaker, by_hand, row[4], failing_since, hold_until, failed, results, is_due)
    return Sighted(row[0], row[1], row[2], row[3], signs)


def last_hour(endpoints: Collection[int], now: datetime) -> dict[int, Rates]:
    """Of the sixty whole minutes before this one, and of this one so far."""
    this = now.replace(second=0, microsecond=0)
    minutes = [this - MINUTE * back for back in range(61)]
    found = _rows(HOUR, {"minutes": minutes, "endpoints": sorted(endpoints)})
    return {row[0]: Rates.of(Sums.of_row(row[1:])) for row in found}


def waiting(endpoints: Collection[int]) -> dict[int, Waiting]:
    """Endpoint → what waits for it, up to WAITING_MOST + 1."""
    found = _rows(WAITING, {"endpoints": sorted(endpoints), "most": WAITING_MOST + 1})
    return {row[0]: Waiting(*row[1:]) for row in found}


def backlog(endpoint_id: int) -> list[Waiting]:
    """By reason, the most first, of the BACKLOG_MOST + 1 that are due first."""
    found = _rows(BACKLOG, {"endpoint": endpoint_id, "most": BACKLOG_MOST + 1})
    return [Waiting(count, count if reason else 0, due, oldest, reason) for reason, count, due, oldest in found]


def recent(tenant_id: int, endpoint_id: int, subscriptions: Collection[int], now: datetime) -> Recent:
    """The newest deliveries to it, of RECENT_WITHIN."""
    found = _rows(
        RECENT,
        {
            "subscriptions": sorted(subscriptions),
            "tenant": tenant_id,
            "endpoint": endpoint_id,
            "since": id_floor(now - RECENT_WITHIN),
            "most": RECENT_MOST + 1,
        },
    )
    return Recent([row[0] for row in found[:RECENT_MOST]], len(found) > RECENT_MOST)


def faults(ids: Sequence[UUID], since: datetime) -> list[Fault]:
    """Of those deliveries' attempts since then, the most frequent first."""
    if not ids:
        return []
    bounds = {"ids": list(ids), "floor": min(ids), "ceiling": max(ids), "since": since}
    return [Fault(*row) for row in _rows(ERRORS, bounds)]


def blocked(subscriptions: Collection[int]) -> list[Blocked]:
    """The first of the keys that are held up, the longest first."""
    found = _rows(BLOCKED, {"subscriptions": sorted(subscriptions), "most": QUEUED_MOST}) if subscriptions else []
    return [Blocked(*row) for row in found]


def died(tenant_id: int, endpoint_id: int, since: datetime) -> int:
    """How many deliveries to it have died since then, at least: of the tenant's DEAD_MOST newest dead ones."""
    [(count,)] = _rows(DIED, {"tenant": tenant_id, "endpoint": endpoint_id, "since": since, "most": DEAD_MOST})
    return int(count)


def _rows(statement: LiteralString, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
