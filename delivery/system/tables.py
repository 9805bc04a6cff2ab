"""The database's size, its partitions day by day, and how far autovacuum keeps up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final, LiteralString, NamedTuple

from django.conf import settings
from django.db import connection

from delivery.system.kept import Kept, Look
from eventcenter.partitions import DAYS_AHEAD
from eventcenter.store import rows

BIGGEST_MOST: Final = 12
DAY: Final = timedelta(days=1)

# Catalogues alone: as many rows as there are tables and partitions.
PARTITIONS: LiteralString = """
SELECT parent.relname, part.relname, greatest(part.reltuples, 0)::bigint, pg_total_relation_size(part.oid)
FROM pg_inherits AS i JOIN pg_class AS parent ON parent.oid = i.inhparent JOIN pg_class AS part ON part.oid = i.inhrelid
WHERE parent.relname = ANY (%s) AND parent.relkind = 'p'
"""
BIGGEST: LiteralString = """
SELECT coalesce(parent.relname, t.relname), count(*), sum(greatest(t.reltuples, 0))::bigint,
    sum(pg_total_relation_size(t.oid))::bigint AS bytes, coalesce(sum(s.n_dead_tup), 0)::bigint,
    max(greatest(s.last_autovacuum, s.last_vacuum)), max(greatest(s.last_autoanalyze, s.last_analyze))
FROM pg_class AS t LEFT JOIN pg_inherits AS i ON i.inhrelid = t.oid LEFT JOIN pg_class AS parent ON parent.oid = i.inhparent
LEFT JOIN pg_stat_user_tables AS s ON s.relid = t.oid
WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace
GROUP BY 1 ORDER BY bytes DESC LIMIT %s
"""
SERVER: LiteralString = """
SELECT pg_database_size(current_database()), current_setting('server_version'), pg_postmaster_start_time(),
    current_setting('max_connections')::int, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    (SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend')
"""


class Table(NamedTuple):
    """A table with all its partitions and indexes."""

    name: str
    parts: int
    rows: int
    bytes: int
    dead: int
    vacuumed_at: datetime | None
    analyzed_at: datetime | None


class Server(NamedTuple):
    """`oldest_s`: how long the oldest transaction is open."""

    bytes: int
    version: str
    started_at: datetime
    connections_most: int
    connections: int
    oldest_s: float


class Part(NamedTuple):
    table: str
    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Days:
    """A partitioned table. `strays`: rows of its default partition, which no day had a place for. `gaps`: days without a
    partition, from its first one to the last that should be there."""

    table: str
    keep_days: int
    first: date | None
    last: date | None
    count: int
    rows: int
    bytes: int
    strays: int
    gaps: tuple[date, ...]
    today: date

    @property
    def drops_next(self) -> tuple[date, date] | None:
        """The oldest day, and when it goes."""
        return (self.first, max(self.first + (self.keep_days + 1) * DAY, self.today)) if self.first else None

    @property
    def problem(self) -> str:
        missing = [day for day in self.gaps if day <= self.today + DAY]
        if missing:
            return (
                f"No partition for {', '.join(map(str, missing[:5]))}: rows of such a day go to the default partition."
            )
        if self.strays:
            return "Rows are in the default partition: a day was missing when they came."
        if self.gaps:
            return f"Only ready up to {min(self.gaps) - DAY}; {DAYS_AHEAD} days ahead should be made."
        return ""


@dataclass(frozen=True, slots=True)
class Tables:
    server: Server
    biggest: list[Table]
    partitioned: list[Days]


_kept: Final[Kept[Tables]] = Kept(fresh_s=30.0, old_s=300.0)


def read() -> Look[Tables]:
    """Sizes are asked of the file system, file by file: on a thread, every half minute."""
    return _kept.get(connection.settings_dict["NAME"], _ask)


def _ask() -> Tables:
    parts = [Part(*row) for row in rows(PARTITIONS, [list(settings.RETENTION_DAYS)])]
    today = datetime.now(UTC).date()
    return Tables(
        Server(*rows(SERVER, [])[0]),
        [Table(*row) for row in rows(BIGGEST, [BIGGEST_MOST])],
        [
            days_of(table, keep_days, [part for part in parts if part.table == table], today)
            for table, keep_days in settings.RETENTION_DAYS.items()
        ],
    )


def days_of(table: str, keep_days: int, parts: Sequence[Part], today: date) -> Days:
    """Pure."""
    days = sorted(day for day in map(_day, parts) if day is not None)
    return Days(
        table,
        keep_days,
        days[0] if days else None,
        days[-1] if days else None,
        len(days),
        sum(part.rows for part in parts),
        sum(part.bytes for part in parts),
        sum(part.rows for part in parts if _day(part) is None),
        tuple(_gaps(days, today)),
        today,
    )


def _gaps(days: Sequence[date], today: date) -> Iterable[date]:
    """Between the days that there are, and from the last one, or yesterday, to those ahead."""
    for before, after in pairwise(days):
        yield from _between(before + DAY, after)
    yield from _between(max(days[-1] + DAY, today) if days else today, today + (DAYS_AHEAD + 1) * DAY)


def _between(first: date, end: date) -> Iterable[date]:
    return (first + number * DAY for number in range((end - first).days))


def _day(part: Part) -> date | None:
    match = re.fullmatch(re.escape(part.table) + r"_(\d{4})(\d\d)(\d\d)", part.name)
    return date(*map(int, match.groups())) if match else None
