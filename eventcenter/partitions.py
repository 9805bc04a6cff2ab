"""Daily partitions of the tables in settings.RETENTION_DAYS: days ahead are made, days past their retention dropped.

A day's name is <table>_YYYYMMDD; its bounds are the UUIDv7s of its first and its next day's first millisecond.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from psycopg import sql

from eventcenter.adapters import counts as adapter_counts
from eventcenter.ids import id_floor
from eventcenter.models import IdempotencyKey
from eventcenter.row_security import WEB_ROLE

logger = logging.getLogger(__name__)

DAYS_AHEAD = 7
# A partition is attached or dropped within this wait or at the next run: nobody queues behind us for longer.
LOCK_TIMEOUT = "1s"
FILLFACTOR = {"delivery_delivery": 60}
PARTITION_KEY = {"delivery_attempt": "delivery_id"}


@dataclass(slots=True)
class Report:
    """Names of partitions made, dropped, and left to the next run because somebody held the table; rows moved out of
    default partitions, and deleted there as too old; old idempotency keys and adapters' counts deleted."""

    made: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    postponed: list[str] = field(default_factory=list)
    moved_rows: int = 0
    deleted_rows: int = 0
    keys_deleted: int = 0
    counts_deleted: int = 0


def maintain(now: datetime | None = None, days_ahead: int = DAYS_AHEAD) -> Report:
    """Bring every table's days up to date. Safe to run at any time and twice at once."""
    moment = now or timezone.now()
    today, report = moment.astimezone(UTC).date(), Report()
    for table, keep_days in settings.RETENTION_DAYS.items():
        existing, oldest = partition_days(table), today - timedelta(days=keep_days)
        ahead = {today + timedelta(days=offset) for offset in range(days_ahead + 1)}
        for day in sorted(ahead - existing):
            _or_postpone(_make_day, table, day, report)
        for day in sorted(day for day in existing if day < oldest):
            _or_postpone(_drop_day, table, day, report)
        _delete_old_default_rows(table, oldest, report)
    old = IdempotencyKey.objects.filter(created_at__lt=moment - timedelta(days=settings.RETENTION_DAYS_IDEMPOTENCY))
    report.keys_deleted = old.delete()[0]
    report.counts_deleted = adapter_counts.drop_old(moment)
    counts = {"made": len(report.made), "dropped": report.dropped, "postponed": report.postponed}
    logger.info("partitions.maintained", extra=counts)
    return report


def partition_days(table: str) -> set[date]:
    """The days that have a partition."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [table])
        names = [row[0] for row in cursor.fetchall()]
    found = (re.fullmatch(re.escape(table) + r"_(\d{8})", name) for name in names)
    return {datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC).date() for match in found if match}


def _or_postpone(change: Callable[[str, date, Report], None], table: str, day: date, report: Report) -> None:
    """One table that is held for long must not keep the others from their days."""
    try:
        change(table, day, report)
    except OperationalError as error:
        report.postponed.append(_day_name(table, day))
        logger.warning("partitions.postponed", extra={"partition": _day_name(table, day), "error": str(error)})


def _day_name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


def _day_start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _make_day(table: str, day: date, report: Report) -> None:
    """Built apart and attached: writers of other days do not wait. Rows of the day in the default partition move over."""
    names = {
        "table": sql.Identifier(table),
        "part": sql.Identifier(_day_name(table, day)),
        "default": sql.Identifier(f"{table}_default"),
        "key": sql.Identifier(PARTITION_KEY.get(table, "id")),
        "low": sql.Literal(str(id_floor(_day_start(day)))),
        "high": sql.Literal(str(id_floor(_day_start(day + timedelta(days=1))))),
        "web_role": sql.Identifier(WEB_ROLE),
        "fillfactor": sql.Literal(FILLFACTOR.get(table, 100)),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('partitions'))")
        if day in partition_days(table):
            return
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        for statement in (
            "CREATE TABLE {part} (LIKE {table} INCLUDING ALL) WITH (fillfactor = {fillfactor})",
            "REVOKE ALL ON {part} FROM {web_role}",  # reached through its table alone, whose policy holds
            "LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE",
        ):
            cursor.execute(sql.SQL(statement).format(**names).as_string(cursor.connection))
        move = (
            "WITH moved AS (DELETE FROM {default} WHERE {key} >= {low} AND {key} < {high} RETURNING *) "
            "INSERT INTO {part} SELECT * FROM moved"
        )
        cursor.execute(sql.SQL(move).format(**names).as_string(cursor.connection))
        moved_rows = cursor.rowcount
        attach = "ALTER TABLE {table} ATTACH PARTITION {part} FOR VALUES FROM ({low}) TO ({high})"
        cursor.execute(sql.SQL(attach).format(**names).as_string(cursor.connection))
    report.made.append(_day_name(table, day))
    report.moved_rows += moved_rows


def _drop_day(table: str, day: date, report: Report) -> None:
    name = _day_name(table, day)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)).as_string(cursor.connection))
    report.dropped.append(name)


def _delete_old_default_rows(table: str, oldest: date, report: Report) -> None:
    """What came for a day that was never made ages like any other. Index: the primary key, from its start."""
    statement = sql.SQL("DELETE FROM {} WHERE {} < {}").format(
        sql.Identifier(f"{table}_default"),
        sql.Identifier(PARTITION_KEY.get(table, "id")),
        sql.Literal(str(id_floor(_day_start(oldest)))),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement.as_string(cursor.connection))
        report.deleted_rows += cursor.rowcount
