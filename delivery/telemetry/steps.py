"""Sums step by step through a span of time: what charts draw."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from delivery.telemetry.sums import HOUR, SPAN, SUMS, Sums, counted_rows, span_of

MINUTE = timedelta(minutes=1)

_OF: LiteralString = """(%(tenants)s::bigint[] IS NULL OR tenant_id = ANY (%(tenants)s::bigint[]))
    AND (%(endpoint_id)s::bigint IS NULL OR endpoint_id = %(endpoint_id)s::bigint)"""
# Index: primary key, a range of minutes; the rows of other endpoints are left out in the index.
FROM_MINUTES: LiteralString = f"""
SELECT date_bin(%(step)s, minute, %(since)s), {SUMS} FROM delivery_deliverycounter
WHERE minute >= %(since)s AND minute < %(until)s AND {_OF} GROUP BY 1
"""
# Indexes as for all spans (delivery.telemetry.sums).
FROM_HOURS: LiteralString = f"""
{SPAN} SELECT date_bin(%(step)s, hour, %(since)s), {SUMS} FROM span WHERE {_OF} GROUP BY 1
"""


def by_step(
    since: datetime,
    until: datetime,
    step: timedelta,
    tenants: Collection[int] | None = None,
    endpoint_id: int | None = None,
) -> dict[datetime, Sums]:
    """Every step from `since` on, the oldest first, the empty ones too; `until` may cut the last one short. One query.

    `since` is a whole minute and `step` whole minutes. Whole hours from a whole hour on are read from kept hours where there
    are some; all else from the minute counters alone, which are kept for some weeks. The running minute is the caller's to
    leave out, by `until`. Of all tenants, or of some; of all endpoints, or of one.
    """
    whole = step % HOUR == timedelta(0) and since == since.replace(minute=0)
    parameters: dict[str, Any] = {
        **span_of(since, until),
        "step": step,
        "tenants": None if tenants is None else sorted(tenants),
        "endpoint_id": endpoint_id,
    }
    found = {row[0]: Sums.of_row(row[1:]) for row in counted_rows(FROM_HOURS if whole else FROM_MINUTES, parameters)}
    return {start: found.get(start, Sums()) for start in starts(since, until, step)}


def starts(since: datetime, until: datetime, step: timedelta) -> Iterator[datetime]:
    """Where each step of the span begins, UTC."""
    start = since.astimezone(UTC)
    while start < until:
        yield start
        start += step
