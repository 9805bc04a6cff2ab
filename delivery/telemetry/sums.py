"""What was counted in a span of time: read from the minute counters and, where a whole hour is kept, from its hour's row.

The end of a span is exclusive. A minute belongs to the span in which it begins, so that spans which meet add up.
Whose counters there are is the caller's scope (eventcenter.row_security): a web request sees its tenants' only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, Self

from django.db import connection

from delivery.counters import LATENCY_BOUNDS_MS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
_BUCKETS = len(LATENCY_BOUNDS_MS) + 1


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of delivery.models.counters.Counts; their meanings are there. Buckets as delivery.counters bounds them."""

    attempts: int = 0
    first_attempts: int = 0
    first_delivered: int = 0
    delivered: int = 0
    failed: int = 0
    retried: int = 0
    dead: int = 0
    deferred: int = 0
    duplicates: int = 0
    signature_refused: int = 0
    latency_ms_sum: float = 0.0
    latency_buckets: tuple[int, ...] = (0,) * _BUCKETS

    def __add__(self, other: Sums) -> Sums:
        counts = {name: getattr(self, name) + getattr(other, name) for name in _SUMMED}
        buckets = zip(self.latency_buckets, other.latency_buckets, strict=True)
        return Sums(**counts, latency_buckets=tuple(a + b for a, b in buckets))

    @classmethod
    def of_row(cls, row: Iterable[Any], **more: int) -> Self:
        """From the columns that SUMS selects."""
        values = list(row)
        counts = dict(zip(_SUMMED, values, strict=False))
        return cls(**counts, latency_buckets=tuple(values[len(_SUMMED) :]), **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSums(Sums):
    tenant_id: int


_SUMMED = tuple(each.name for each in fields(Sums) if each.name != "latency_buckets")
_COLUMNS: LiteralString = """attempts, first_attempts, first_delivered, delivered, failed, retried, dead, deferred, duplicates,
    signature_refused, latency_ms_sum, latency_buckets"""
_HOUR: LiteralString = "date_trunc('hour', minute, 'UTC')"
COUNT_SUMS: LiteralString = """coalesce(sum(attempts), 0)::bigint, coalesce(sum(first_attempts), 0)::bigint,
    coalesce(sum(first_delivered), 0)::bigint, coalesce(sum(delivered), 0)::bigint, coalesce(sum(failed), 0)::bigint,
    coalesce(sum(retried), 0)::bigint, coalesce(sum(dead), 0)::bigint, coalesce(sum(deferred), 0)::bigint,
    coalesce(sum(duplicates), 0)::bigint, coalesce(sum(signature_refused), 0)::bigint,
    coalesce(sum(latency_ms_sum), 0)::float8"""
BUCKET_SUMS: LiteralString = ", ".join(
    f"coalesce(sum(latency_buckets[{place + 1}]), 0)::bigint" for place in range(_BUCKETS)
)
SUMS: LiteralString = COUNT_SUMS + ", " + BUCKET_SUMS

# Index: primary key, a range of minutes.
BY_ENDPOINT: LiteralString = f"""
SELECT endpoint_id, tenant_id, {SUMS} FROM delivery_deliverycounter
WHERE minute >= %(since)s AND minute < %(until)s AND endpoint_id <> ALL (%(exclude)s::bigint[])
GROUP BY endpoint_id, tenant_id
"""
# Index: primary keys, a range of hours and two of minutes: before the first whole hour, and after the last kept one. Hours
# are kept in their order, each with all its endpoints at once (delivery.telemetry.hours), so that the newest one tells how
# far they are kept; one statement, so that no hour is read twice or not at all while it becomes kept.
SPAN: LiteralString = f"""
WITH span AS (
    SELECT hour, tenant_id, endpoint_id, {_COLUMNS} FROM delivery_deliveryhour
    WHERE hour >= %(first)s AND hour < %(last)s
    UNION ALL
    SELECT {_HOUR}, tenant_id, endpoint_id, {_COLUMNS} FROM delivery_deliverycounter
    WHERE minute >= %(since)s AND minute < least(%(first)s, %(until)s)
    UNION ALL
    SELECT {_HOUR}, tenant_id, endpoint_id, {_COLUMNS} FROM delivery_deliverycounter
    WHERE minute < %(until)s AND minute >= greatest(%(first)s, least(%(last)s, (
        SELECT coalesce(max(hour) + interval '1 hour', '-infinity') FROM delivery_deliveryhour)))
)
"""
TOTAL: LiteralString = f"{SPAN} SELECT {SUMS} FROM span"
TOTAL_OF_TENANT: LiteralString = f"{TOTAL} WHERE tenant_id = %(tenant_id)s"
TOTAL_BY_TENANT: LiteralString = f"{SPAN} SELECT tenant_id, {SUMS} FROM span GROUP BY tenant_id"
TOTAL_BY_ENDPOINT: LiteralString = (
    f"{SPAN} SELECT endpoint_id, tenant_id, {SUMS} FROM span GROUP BY endpoint_id, tenant_id"
)
TOTAL_BY_HOUR: LiteralString = f"""{SPAN} SELECT hour, {SUMS} FROM span
WHERE %(tenants)s::bigint[] IS NULL OR tenant_id = ANY (%(tenants)s::bigint[]) GROUP BY hour ORDER BY hour"""
# Index: primary key, a range of minutes.
PUBLISH_REFUSALS: LiteralString = """
SELECT tenant_id, reason, sum(count)::bigint FROM eventcenter_publishrefusalcounter
WHERE minute >= %(since)s AND minute < %(until)s GROUP BY tenant_id, reason
"""


def by_endpoint(since: datetime, until: datetime, exclude: Collection[int] = ()) -> dict[int, EndpointSums]:
    """Endpoint → its sums, from the minute counters alone: for the recent past. Without those that are excluded."""
    found = counted_rows(BY_ENDPOINT, {"since": since, "until": until, "exclude": list(exclude)})
    return {row[0]: EndpointSums.of_row(row[2:], tenant_id=row[1]) for row in found}


def total(since: datetime, until: datetime, tenant_id: int | None = None) -> Sums:
    """Of everything, or of one tenant. Exact from EPOCH to FOREVER, and never less than at the call before.

    Where minutes were forgotten already (delivery.telemetry.hours.forget_minutes), a span that begins or ends within an hour
    has nothing of that hour: give whole hours there.
    """
    span = span_of(since, until)
    if tenant_id is None:
        (row,) = counted_rows(TOTAL, span)
    else:
        (row,) = counted_rows(TOTAL_OF_TENANT, {**span, "tenant_id": tenant_id})
    return Sums.of_row(row)


def by_tenant(since: datetime, until: datetime) -> dict[int, Sums]:
    """As `total`, tenant by tenant; only those with counts."""
    return {row[0]: Sums.of_row(row[1:]) for row in counted_rows(TOTAL_BY_TENANT, span_of(since, until))}


def total_by_endpoint(since: datetime, until: datetime) -> dict[int, EndpointSums]:
    """As `total`, endpoint by endpoint; only those with counts."""
    found = counted_rows(TOTAL_BY_ENDPOINT, span_of(since, until))
    return {row[0]: EndpointSums.of_row(row[2:], tenant_id=row[1]) for row in found}


def by_hour(since: datetime, until: datetime, tenants: Collection[int] | None = None) -> dict[datetime, Sums]:
    """As `total`, hour by hour, of all tenants or of some; only hours with counts, the oldest first."""
    found = counted_rows(
        TOTAL_BY_HOUR, {**span_of(since, until), "tenants": None if tenants is None else sorted(tenants)}
    )
    return {row[0]: Sums.of_row(row[1:]) for row in found}


def publish_refusals(since: datetime, until: datetime) -> dict[int, dict[str, int]]:
    """Tenant → reason → how many publishes were refused because of their proof. Tenant 0: the key is not known."""
    found: dict[int, dict[str, int]] = {}
    for tenant_id, reason, count in counted_rows(PUBLISH_REFUSALS, {"since": since, "until": until}):
        found.setdefault(tenant_id, {})[reason] = count
    return found


def hour_of(at: datetime) -> datetime:
    """The beginning of its hour, UTC."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def span_of(since: datetime, until: datetime) -> dict[str, object]:
    begun = hour_of(since)
    first = begun if begun == since else begun + HOUR
    return {"since": since, "until": until, "first": first, "last": hour_of(until)}


def counted_rows(statement: LiteralString, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
