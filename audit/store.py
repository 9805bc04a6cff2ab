"""The trail's SQL. Appending goes through functions of the database, so that a role without rights on the table can."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import LiteralString

from django.db import connection
from django.db.models import QuerySet

from audit.chain import Link
from audit.models import AuditEntry
from audit.verify import Stored

# Index: unique (chain, position), backwards. Holds the chain's lock to the end of the transaction.
LAST = "SELECT last_position, last_digest FROM audit_chain_last(%s)"
APPEND = "SELECT audit_append(%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s)"

# Index: unique (chain, position). One look for each chain, however many entries it has.
ENDS = """
WITH RECURSIVE chains (chain) AS (
    (SELECT chain FROM audit_auditentry ORDER BY chain LIMIT 1)
    UNION ALL
    SELECT (SELECT e.chain FROM audit_auditentry e WHERE e.chain > c.chain ORDER BY e.chain LIMIT 1)
    FROM chains c WHERE c.chain IS NOT NULL
)
SELECT c.chain, (SELECT max(e.position) FROM audit_auditentry e WHERE e.chain = c.chain) FROM chains c
WHERE c.chain IS NOT NULL
"""
# Indexes: (actor, id), (action, id), (target, id). A probe each.
EXISTING: dict[str, LiteralString] = {
    "actor": "SELECT v FROM unnest(%s::text[]) AS v WHERE EXISTS (SELECT 1 FROM audit_auditentry WHERE actor = v)",
    "action": "SELECT v FROM unnest(%s::text[]) AS v WHERE EXISTS (SELECT 1 FROM audit_auditentry WHERE action = v)",
    "target": "SELECT v FROM unnest(%s::text[]) AS v WHERE EXISTS (SELECT 1 FROM audit_auditentry WHERE target = v)",
}
READ_ROWS = 2_000
LINK_FIELDS = tuple(field.name for field in fields(Link))


def lock_chain(chain: str) -> tuple[int, bytes]:
    """The chain's last position and digest: 0 and 32 zero bytes when it is empty."""
    with connection.cursor() as cursor:
        cursor.execute(LAST, [chain])
        position, digest = cursor.fetchone()
    return position, bytes(digest)


def append(link: Link, actor_user_id: int | None, previous: bytes, digest: bytes) -> int:
    """Returns the row's id. IntegrityError when the link does not follow the chain's last one."""
    who = [link.actor, actor_user_id, link.address]
    what = [link.action, link.target, json.dumps(link.details)]
    with connection.cursor() as cursor:
        cursor.execute(APPEND, [link.chain, link.position, link.at, *who, *what, previous, digest])
        return int(cursor.fetchone()[0])


def ends() -> dict[str, int]:
    """The last position of every chain that has an entry."""
    with connection.cursor() as cursor:
        cursor.execute(ENDS)
        return dict(cursor.fetchall())


def end_of(chain: str) -> int:
    """Its last position; 0 when it is empty. Index: unique (chain, position)."""
    last = AuditEntry.objects.filter(chain=chain).order_by("-position").values_list("position", flat=True).first()
    return last or 0


def existing(column: str, values: Sequence[str]) -> list[str]:
    """Those of the values that some entry has. `column` is one of EXISTING."""
    with connection.cursor() as cursor:
        cursor.execute(EXISTING[column], [list(values)])
        return [row[0] for row in cursor.fetchall()]


def entries(
    chain: str, after: int = 0, since: datetime | None = None, until: datetime | None = None
) -> Iterator[Stored]:
    """In the order of their positions, as they are stored now. `until` is not included. Within a transaction: a cursor
    of the database holds the place."""
    rows: QuerySet[AuditEntry] = AuditEntry.objects.filter(chain=chain, position__gt=after)
    rows = rows.filter(at__gte=since) if since else rows
    rows = rows.filter(at__lt=until) if until else rows
    for row in rows.order_by("position", "id").iterator(READ_ROWS):
        yield as_stored(row)


def as_stored(row: AuditEntry) -> Stored:
    return Stored(Link(**{name: getattr(row, name) for name in LINK_FIELDS}), bytes(row.previous), bytes(row.digest))
