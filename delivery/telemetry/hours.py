"""Hours from minutes: sums for good, so that minute counters need be kept for some weeks only.

An hour is kept SETTLED_AFTER its end. No row of its minutes comes or changes after that: a writer adds to the minute in which
its transaction began, and none began so long ago — `roll_up` looks, and does nothing while one did. Hours are kept in their
order and each with all its endpoints in one statement, so that the newest kept hour tells how far they are kept; sums.py
reads by that, and so do several processes that do this at once.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import LiteralString

from django.conf import settings

from delivery.telemetry.sums import BUCKET_SUMS, COUNT_SUMS, EPOCH, HOUR, hour_of
from eventcenter import refusals
from eventcenter.store import execute, rows

logger = logging.getLogger(__name__)

SETTLED_AFTER = timedelta(minutes=10)
FORGET_MOST = 20_000  # rows a statement

# Other transactions of this database that are so old; a long dump holds the hours up, and nothing is lost by it.
OLD_TRANSACTIONS: LiteralString = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
    AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - %s::interval
"""
# Index: primary keys, the last hour and the first minute after it.
NEXT_HOUR: LiteralString = """
SELECT min(minute) FROM delivery_deliverycounter WHERE minute >= coalesce(
    (SELECT max(hour) + interval '1 hour' FROM delivery_deliveryhour), %s)
"""
# Index: primary key, a range of minutes. Whoever comes second inserts nothing.
KEEP_HOUR: LiteralString = f"""
INSERT INTO delivery_deliveryhour (hour, endpoint_id, tenant_id, attempts, first_attempts, first_delivered, delivered, failed,
    retried, dead, deferred, duplicates, signature_refused, latency_ms_sum, latency_buckets)
SELECT date_trunc('hour', minute, 'UTC'), endpoint_id, tenant_id, {COUNT_SUMS}, ARRAY[{BUCKET_SUMS}]
FROM delivery_deliverycounter WHERE minute >= %s AND minute < %s
GROUP BY date_trunc('hour', minute, 'UTC'), endpoint_id, tenant_id
ON CONFLICT (hour, endpoint_id) DO NOTHING
"""
# Index: primary keys. Never a minute whose hour is not kept.
FORGET: LiteralString = """
DELETE FROM delivery_deliverycounter WHERE (minute, endpoint_id, shard) IN (
    SELECT minute, endpoint_id, shard FROM delivery_deliverycounter
    WHERE minute < least(%s, (SELECT coalesce(max(hour) + interval '1 hour', '-infinity') FROM delivery_deliveryhour))
    ORDER BY minute LIMIT %s
)
"""


def roll_up(now: datetime) -> int:
    """Keep the next hour that is settled and not kept yet. Returns how many rows, one an endpoint, were made; 0: nothing is
    left for now, or another process is at it.

    May be called at any time, by several processes, and after any pause.
    """
    edge = hour_of(now - SETTLED_AFTER)
    first = rows(NEXT_HOUR, [EPOCH])[0][0]
    if first is None or first >= edge:
        return 0
    if rows(OLD_TRANSACTIONS, [SETTLED_AFTER])[0][0]:
        logger.warning("hours.held_by_old_transaction")
        return 0
    start = hour_of(first)
    made = execute(KEEP_HOUR, [start, start + HOUR])
    logger.info("hours.kept", extra={"rows": made, "hour": start.isoformat()})
    return made


def forget_minutes(now: datetime) -> int:
    """Delete minute counters of COUNTER_MINUTES_DAYS ago and before, if their hours are kept, and let refused publishes of
    that time be a row a day. Returns how many rows went. Sums stay what they are.
    """
    before = hour_of(now - timedelta(days=settings.COUNTER_MINUTES_DAYS))
    gone = refusals.fold_days(before)
    while True:
        deleted = execute(FORGET, [before, FORGET_MOST])
        gone += deleted
        if deleted < FORGET_MOST:
            return gone
