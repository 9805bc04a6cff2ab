"""The same counts from the rows themselves: attempts, deliveries and known duplicates. A proof of the counters, not a way to
read them: it looks through all rows that there are.

What belongs to a span is told by the time of the transaction that recorded it, which is also what put it into its minute:
`Attempt.recorded_at`, `Delivery.dead_at` (of rounds before a replay: `earlier_deaths`) and `DuplicateSend.at`. What leaves no
row, a delivery that was held, is not counted again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import LiteralString

from django.db import connection, transaction

from delivery.counters import LATENCY_BOUNDS_MS
from delivery.telemetry import sums
from delivery.telemetry.sums import Sums
from eventcenter.store import rows

_BOUNDS: LiteralString = "ARRAY[" + ", ".join(str(bound) for bound in LATENCY_BOUNDS_MS) + "]::float8[]"
_BUCKETS: LiteralString = ", ".join(
    f"count(*) FILTER (WHERE width_bucket(a.latency_ms, {_BOUNDS}) = {place})"
    for place in range(len(LATENCY_BOUNDS_MS) + 1)
)
# A scan of both tables. Attempts from before there was `recorded_at` are taken to have been recorded at once.
ATTEMPTS: LiteralString = f"""
SELECT d.tenant_id, count(*), count(*) FILTER (WHERE a.number = 1),
    count(*) FILTER (WHERE a.number = 1 AND a.outcome = 'delivered'), count(*) FILTER (WHERE a.outcome = 'delivered'),
    count(*) FILTER (WHERE a.outcome <> 'delivered'), count(*) FILTER (WHERE a.number > 1),
    count(*) FILTER (WHERE a.status_code IN (401, 403)), coalesce(sum(round(a.latency_ms)), 0), {_BUCKETS}
FROM delivery_attempt a JOIN delivery_delivery d ON d.id = a.delivery_id
WHERE coalesce(a.recorded_at, a.started_at + make_interval(secs => a.duration_ms / 1000)) >= %s
    AND coalesce(a.recorded_at, a.started_at + make_interval(secs => a.duration_ms / 1000)) < %s
GROUP BY d.tenant_id
"""
# A scan of the table.
DEATHS: LiteralString = """
SELECT tenant_id, count(*) FROM (
    SELECT tenant_id, dead_at AS at FROM delivery_delivery WHERE dead_at IS NOT NULL
    UNION ALL
    SELECT tenant_id, unnest(earlier_deaths) FROM delivery_delivery WHERE earlier_deaths IS NOT NULL
) AS died WHERE at >= %s AND at < %s GROUP BY tenant_id
"""
# Index: duplicate_send_at.
DUPLICATES: LiteralString = """
SELECT tenant_id, count(*) FROM delivery_duplicatesend WHERE at >= %s AND at < %s GROUP BY tenant_id
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the two are not the same."""

    tenant_id: int
    counted: Sums
    recounted: Sums


def recount(since: datetime, until: datetime) -> Mapping[int, Sums]:
    """Tenant → sums without `deferred`."""
    found = {tenant_id: _of_attempts(values) for tenant_id, *values in rows(ATTEMPTS, [since, until])}
    for tenant_id, count in rows(DEATHS, [since, until]):
        found[tenant_id] = replace(found.get(tenant_id, Sums()), dead=count)
    for tenant_id, count in rows(DUPLICATES, [since, until]):
        found[tenant_id] = replace(found.get(tenant_id, Sums()), duplicates=count)
    return found


def differences(since: datetime, until: datetime) -> list[Difference]:
    """Counters against rows, as both stand at one moment; not within a transaction. Empty: they are equal."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        counted, recounted = sums.by_tenant(since, until), recount(since, until)
    pairs = {key: (_comparable(counted.get(key)), recounted.get(key, Sums())) for key in counted.keys() | recounted}
    return [Difference(key, *pair) for key, pair in sorted(pairs.items()) if pair[0] != pair[1]]


def _comparable(counted: Sums | None) -> Sums:
    return replace(counted, deferred=0) if counted else Sums()


def _of_attempts(values: list[int]) -> Sums:
    attempts, first, first_delivered, delivered, failed, retried, refused, latency_ms, *buckets = values
    return Sums(
        attempts=attempts,
        first_attempts=first,
        first_delivered=first_delivered,
        delivered=delivered,
        failed=failed,
        retried=retried,
        signature_refused=refused,
        latency_ms_sum=float(latency_ms),
        latency_buckets=tuple(buckets),
    )
