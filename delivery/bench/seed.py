"""A database as it is after weeks of traffic, made by SQL alone: for measuring pages and queries, never for deliveries.

One tenant has half of everything. Each event goes to two endpoints of its tenant; of 1,000 deliveries 970 are delivered at
once, 20 at the second attempt, 4 are dead, 2 cancelled, 4 wait to be tried again (in the last day; dead before it). Ids carry
their times, spread evenly over the days, and all random parts come from a row's number: the same call makes the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

from django.db import connection, transaction
from django.utils import timezone

from delivery.counters import LATENCY_BOUNDS_MS
from delivery.telemetry import hours
from eventcenter.partitions import maintain
from subscriptions.models import Endpoint, Subscription, Tenant

PREFIX = "seed-"
EVENTS_A_CHUNK = 50_000
ENDPOINTS_A_TENANT = 5
FAN_OUT = 2
REJECTED_ONE_IN = 251  # odd, so that every tenant has some
BIG_SHARE = 2  # every second event is the first tenant's

Tell = Callable[[str], None]

# Numbered from 0. An event's subscription slots are (number // 2) and the one after it, among its tenant's five.
EVENTS: LiteralString = """
CREATE TEMPORARY TABLE seed_event ON COMMIT DROP AS
SELECT n, at, t.tenant_id, t.tenant, t.subscriptions, t.endpoints, md5('event' || n) AS hash,
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5('event' || n), 1, 3) || '8'
        || substr(md5('event' || n), 4, 15))::uuid AS id
FROM (
    SELECT n, %(start)s::timestamptz + make_interval(secs => n * %(step_s)s::float8) AS at,
        CASE WHEN n %% %(big)s = 0 THEN 0 ELSE 1 + (n / %(big)s) %% greatest(%(tenants)s - 1, 1) END AS place
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
) numbered
JOIN unnest(%(tenant_ids)s::bigint[], %(slugs)s::text[]) WITH ORDINALITY AS t0 (tenant_id, tenant, ordinal)
    ON t0.ordinal = numbered.place + 1
CROSS JOIN LATERAL (
    SELECT t0.tenant_id, t0.tenant, array_agg(s.id ORDER BY s.id) AS subscriptions,
        array_agg(s.endpoint_id ORDER BY s.id) AS endpoints
    FROM subscriptions_subscription s WHERE s.tenant_id = t0.tenant_id
) t
"""
INSERT_EVENTS: LiteralString = """
INSERT INTO eventcenter_event (id, tenant_id, type, source, subject, producer_id, time, tags, traceparent, trace, idempotency_key,
    version, body, kafka_partition, kafka_offset, ingested_at)
SELECT id, tenant_id, 'plugin.release.published', '/pipelines/release', 'plugin-' || n %% 500, hash, at,
    ARRAY['production', 'ring-' || n %% 4], '00-' || hash || '-' || substr(hash, 1, 16) || '-00', hash::uuid, hash,
    '1.' || n %% 50 || '.' || n %% 7,
    convert_to(json_build_object('specversion', '1.0', 'id', hash, 'source', '/pipelines/release',
        'type', 'plugin.release.published', 'subject', 'plugin-' || n %% 500, 'time', at, 'tenant', tenant,
        'data', json_build_object('plugin_id', 'plugin-' || n %% 500, 'version', '1.' || n %% 50 || '.' || n %% 7,
            'notes', repeat(hash, 8)))::text, 'UTF8'),
    n %% 6, n, at + interval '40 milliseconds'
FROM seed_event
"""
DELIVERIES: LiteralString = """
CREATE TEMPORARY TABLE seed_delivery ON COMMIT DROP AS
SELECT *, CASE WHEN fate < 970 THEN 'delivered' WHEN fate < 990 THEN 'delivered' WHEN fate < 994 THEN 'dead'
        WHEN fate < 996 THEN 'cancelled' WHEN is_fresh THEN 'retrying' ELSE 'dead' END AS status,
    CASE WHEN fate < 970 THEN 1 WHEN fate < 990 THEN 2 WHEN fate < 996 OR is_fresh THEN 3 ELSE 10 END AS tries
FROM (
    SELECT e.n, e.at, e.tenant_id, e.id AS event_id, slot, e.subscriptions[1 + (e.n / 2 + slot) %% %(endpoints)s]
            AS subscription_id, e.endpoints[1 + (e.n / 2 + slot) %% %(endpoints)s] AS endpoint_id,
        (substr(e.id::text, 1, 8) || substr(e.id::text, 10, 4) || '7' || substr(md5(e.hash || slot), 1, 3) || '8'
            || substr(md5(e.hash || slot), 4, 15))::uuid AS id,
        ('x' || substr(md5(e.hash || slot), 20, 7))::bit(28)::int %% 1000 AS fate,
        e.at > %(end)s::timestamptz - interval '1 day' AS is_fresh
    FROM seed_event e CROSS JOIN generate_series(0, %(fan_out)s - 1) AS slot
) fated
"""
INSERT_DELIVERIES: LiteralString = """
INSERT INTO delivery_delivery (id, tenant_id, event_id, subscription_id, endpoint_id, status, attempts, tries, replays,
    round_at, next_attempt_at, due_at, held_reason, finished_at, dead_at, cancelled_at, dead_reason, last_status_code,
    last_error_kind)
SELECT id, tenant_id, event_id, subscription_id, endpoint_id, status, tries, tries, 0, at,
    CASE WHEN status = 'retrying' THEN at + interval '30 days' END,
    CASE WHEN status = 'retrying' THEN at + interval '30 days' END, '',
    CASE WHEN status IN ('delivered', 'dead') THEN at + interval '200 milliseconds' END,
    CASE WHEN status = 'dead' THEN at + interval '200 milliseconds' END,
    CASE WHEN status = 'cancelled' THEN at + interval '1 minute' END,
    CASE WHEN status = 'dead' THEN 'spent' ELSE '' END,
    CASE WHEN status = 'delivered' THEN 204 ELSE 503 END, CASE WHEN status = 'delivered' THEN '' ELSE 'http_status' END
FROM seed_delivery
"""
INSERT_ATTEMPTS: LiteralString = """
INSERT INTO delivery_attempt (delivery_id, number, started_at, duration_ms, outcome, status_code, error_kind, error,
    response_headers, response_body, remote_address, worker, replay)
SELECT d.id, number, d.at + make_interval(secs => number * 0.08), 5 + fate %% 90,
    CASE WHEN number = tries AND status = 'delivered' THEN 'delivered' ELSE 'failed' END,
    CASE WHEN number = tries AND status = 'delivered' THEN 204 ELSE 503 END,
    CASE WHEN number = tries AND status = 'delivered' THEN '' ELSE 'http_status' END,
    CASE WHEN number = tries AND status = 'delivered' THEN '' ELSE '503 Service Unavailable' END,
    '[["content-type", "text/plain"]]', convert_to('ok', 'UTF8'), '192.0.2.7', 'seed:1', false
FROM seed_delivery d CROSS JOIN LATERAL generate_series(1, d.tries) AS number
"""
INSERT_COUNTERS: LiteralString = """
INSERT INTO delivery_deliverycounter AS c (minute, endpoint_id, shard, tenant_id, attempts, first_attempts, first_delivered,
    delivered, failed, retried, dead, deferred, signature_refused, latency_buckets, latency_ms_sum)
SELECT date_trunc('minute', at), endpoint_id, 1, tenant_id, sum(tries), count(*), count(*) FILTER (WHERE fate < 970),
    count(*) FILTER (WHERE status = 'delivered'), sum(tries) - count(*) FILTER (WHERE status = 'delivered'),
    sum(tries - 1), count(*) FILTER (WHERE status = 'dead'), 0, 0,
    array_fill(0::bigint, ARRAY[4]) || count(*) FILTER (WHERE fate < 900) || count(*) FILTER (WHERE fate BETWEEN 900 AND 969)
        || count(*) FILTER (WHERE fate BETWEEN 970 AND 989) || array_fill(0::bigint, ARRAY[%(buckets)s - 7]),
    count(*) FILTER (WHERE status = 'delivered') * 90.0
FROM seed_delivery GROUP BY 1, 2, 4
ON CONFLICT (minute, endpoint_id, shard) DO UPDATE SET attempts = c.attempts + excluded.attempts,
    first_attempts = c.first_attempts + excluded.first_attempts,
    first_delivered = c.first_delivered + excluded.first_delivered, delivered = c.delivered + excluded.delivered,
    failed = c.failed + excluded.failed, retried = c.retried + excluded.retried, dead = c.dead + excluded.dead,
    latency_ms_sum = c.latency_ms_sum + excluded.latency_ms_sum,
    latency_buckets = delivery_add(c.latency_buckets, excluded.latency_buckets)
"""
# One of REJECTED_ONE_IN events came as a message that was rejected before: of three reasons, a tenth of them settled.
INSERT_REJECTED: LiteralString = """
INSERT INTO eventcenter_rejectedevent (id, tenant_slug, reason, detail, topic, kafka_partition, kafka_offset, headers, value,
    reingested_at, reingested_by, reingested_as)
SELECT id, CASE WHEN kind = 2 THEN 'nobody' ELSE tenant END, (ARRAY['invalid', 'unknown_type', 'unknown_tenant'])[kind + 1],
    (ARRAY['data.version: is required', 'type: ''plugin.release.signed'' is not a registered event type',
        'tenant: ''nobody'' is not an active tenant'])[kind + 1],
    'events', n %% 6, n, jsonb_build_array(jsonb_build_array('content-type', 'application/cloudevents+json')),
    convert_to(json_build_object('specversion', '1.0', 'id', hash, 'source', '/pipelines/release',
        'type', CASE WHEN kind = 1 THEN 'plugin.release.signed' ELSE 'plugin.release.published' END,
        'tenant', CASE WHEN kind = 2 THEN 'nobody' ELSE tenant END, 'data', json_build_object('plugin_id', n))::text, 'UTF8'),
    CASE WHEN is_settled THEN at + interval '1 hour' END, CASE WHEN is_settled THEN 'user:seed' ELSE '' END,
    CASE WHEN is_settled THEN id END
FROM (SELECT *, (n / %(rejected)s) %% 3 AS kind, (n / %(rejected)s) %% 10 = 0 AS is_settled FROM seed_event
    WHERE n %% %(rejected)s = 0) e
"""
STATEMENTS: tuple[LiteralString, ...] = (
    EVENTS,
    INSERT_EVENTS,
    INSERT_REJECTED,
    DELIVERIES,
    INSERT_DELIVERIES,
    INSERT_ATTEMPTS,
    INSERT_COUNTERS,
)
ANALYZED = (
    "eventcenter_event, eventcenter_rejectedevent, delivery_delivery, delivery_attempt, delivery_deliverycounter, "
    "delivery_deliveryhour"
)


@dataclass(frozen=True, slots=True)
class Volume:
    """How much, and over how long; `end` is the newest event's time."""

    deliveries: int
    tenants: int
    days: int
    end: datetime

    @property
    def events(self) -> int:
        return -(-self.deliveries // FAN_OUT)

    @property
    def start(self) -> datetime:
        return self.end - timedelta(days=self.days)


class AlreadySeeded(Exception):
    """There are seeded tenants: a second run would meet its own ids."""


def seed(volume: Volume, tell: Tell) -> int:
    """Returns how many deliveries were made. Raises AlreadySeeded. Each chunk is a transaction of its own."""
    if Tenant.objects.filter(slug__startswith=PREFIX).exists():
        raise AlreadySeeded("There are tenants named seed-… already; use an empty database.")
    maintain(volume.start, days_ahead=volume.days + 7)
    tenants = _tenants(volume.tenants)
    parameters: dict[str, Any] = {
        "start": volume.start,
        "end": volume.end,
        "step_s": volume.days * 86_400 / volume.events,
        "tenants": len(tenants),
        "tenant_ids": [tenant.pk for tenant in tenants],
        "slugs": [tenant.slug for tenant in tenants],
        "big": BIG_SHARE,
        "rejected": REJECTED_ONE_IN,
        "endpoints": ENDPOINTS_A_TENANT,
        "fan_out": FAN_OUT,
        "buckets": len(LATENCY_BOUNDS_MS) + 1,
    }
    for first, last in _chunks(volume.events):
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in STATEMENTS:
                cursor.execute(statement, parameters | {"first": first, "last": last})
        tell(f"seeded {(last + 1) * FAN_OUT:,} of {volume.events * FAN_OUT:,} deliveries")
    while hours.roll_up(timezone.now()):  # as the telemetry process would have done
        pass
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {ANALYZED}")
    return volume.events * FAN_OUT


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, EVENTS_A_CHUNK):
        yield first, min(first + EVENTS_A_CHUNK, count) - 1


def _tenants(count: int) -> list[Tenant]:
    """With five paused endpoints each, so that nothing is ever sent, and a subscription for each."""
    tenants = [Tenant.objects.create(slug=f"{PREFIX}{place:03}", name=f"Seed {place}") for place in range(count)]
    for tenant in tenants:
        for place in range(ENDPOINTS_A_TENANT):
            endpoint = Endpoint.objects.create(
                tenant=tenant,
                slug=f"sink-{place}",
                name=f"Sink {place}",
                url=f"https://{tenant.slug}-{place}.example/hook",
                state="paused",
            )
            Subscription.objects.create(
                tenant=tenant, endpoint=endpoint, slug=f"releases-{place}", types=["plugin.release.published"]
            )
    return tenants
