"""Daily partitions of the tables in settings.RETENTION_DAYS: days ahead are made, days past their retention dropped.

A day's name is <table>_YYYYMMDD; its bounds are the UUIDv7s of its first and its next day's first millisecond.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

from eventcenter.ids import id_floor
from eventcenter.models import IdempotencyKey

logger = logging.getLogger(__name__)

DAYS_AHEAD = 7
# A partition is attached or dropped within this wait or at the next run: nobody queues behind us for longer.
LOCK_TIMEOUT = "1s"
FILLFACTOR = {"delivery_delivery": 60}
PARTITION_KEY = {"delivery_attempt": "delivery_id"}


@dataclass(slots=True)
class Report:
    """Names of partitions made and dropped; rows moved out of default partitions; old idempotency keys deleted."""

    made: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    moved_rows: int = 0
    keys_deleted: int = 0


def maintain(now: datetime | None = None, days_ahead: int = DAYS_AHEAD) -> Report:
    """Bring every table's days up to date. Safe to run at any time and twice at once."""
    moment = now or timezone.now()
    today, report = moment.astimezone(UTC).date(), Report()
    for table, keep_days in settings.RETENTION_DAYS.items():
        existing = partition_days(table)
        for offset in range(days_ahead + 1):
            day = today + timedelta(days=offset)
            if day not in existing:
                _make_day(table, day, report)
        for day in sorted(existing):
            if day < today - timedelta(days=keep_days):
                _drop_day(table, day, report)
    old = IdempotencyKey.objects.filter(created_at__lt=moment - timedelta(days=settings.RETENTION_DAYS_IDEMPOTENCY))
    report.keys_deleted = old.delete()[0]
    logger.info("partitions.maintained", extra={"made": len(report.made), "dropped": report.dropped})
    return report


def partition_days(table: str) -> set[date]:
    """The days that have a partition."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [table])
        names = [row[0] for row in cursor.fetchall()]
    found = (re.fullmatch(re.escape(table) + r"_(\d{8})", name) for name in names)
    return {datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC).date() for match in found if match}


def _make_day(table: str, day: date, report: Report) -> None:
    """Built apart and attached: writers of other days do not wait. Rows of the day in the default partition move over."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    names = {
        "table": sql.Identifier(table),
        "part": sql.Identifier(f"{table}_{day:%Y%m%d}"),
        "default": sql.Identifier(f"{table}_default"),
        "key": sql.Identifier(PARTITION_KEY.get(table, "id")),
        "low": sql.Literal(str(id_floor(start))),
        "high": sql.Literal(str(id_floor(start + timedelta(days=1)))),
        "fillfactor": sql.Literal(FILLFACTOR.get(table, 100)),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('partitions'))")
        if day in partition_days(table):
            return
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        for statement in (
            "CREATE TABLE {part} (LIKE {table} INCLUDING ALL) WITH (fillfactor = {fillfactor})",
            "LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE",
        ):
            cursor.execute(sql.SQL(statement).format(**names).as_string(cursor.connection))
        move = (
            "WITH moved AS (DELETE FROM {default} WHERE {key} >= {low} AND {key} < {high} RETURNING *) "
            "INSERT INTO {part} SELECT * FROM moved"
        )
        cursor.execute(sql.SQL(move).format(**names).as_string(cursor.connection))
        report.moved_rows += cursor.rowcount
        attach = "ALTER TABLE {table} ATTACH PARTITION {part} FOR VALUES FROM ({low}) TO ({high})"
        cursor.execute(sql.SQL(attach).format(**names).as_string(cursor.connection))
    report.made.append(f"{table}_{day:%Y%m%d}")


def _drop_day(table: str, day: date, report: Report) -> None:
    name = f"{table}_{day:%Y%m%d}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)).as_string(cursor.connection))
    report.dropped.append(name)
