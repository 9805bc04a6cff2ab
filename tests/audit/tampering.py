"""What somebody who owns the tables could do to a trail: the triggers are off while it is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from audit import store
from audit.chain import GENESIS, digest
from audit.models import AuditEntry
from audit.trail import Actor, record

ROBOT = Actor("system:test")


def written(chain: str, count: int = 5) -> list[AuditEntry]:
    return [record(chain, ROBOT, "endpoint.changed", f"endpoint:{n}", {"n": n, "to": "é"}) for n in range(count)]


@contextmanager
def without_triggers() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditentry DISABLE TRIGGER USER")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE audit_auditentry ENABLE TRIGGER USER")
            cursor.execute(
                "ALTER TABLE audit_auditentry DISABLE TRIGGER audit_entry_no_truncate"
            )  # as in tests.conftest


def tamper(*statements: str) -> None:
    with without_triggers(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def change(position: int) -> None:
    tamper(f"UPDATE audit_auditentry SET details = '{{\"n\": 9}}' WHERE chain = 'acme' AND position = {position}")


def remove(*positions: int) -> None:
    listed = ", ".join(map(str, positions))
    tamper(f"DELETE FROM audit_auditentry WHERE chain = 'acme' AND position IN ({listed})")


def remove_chain() -> None:
    tamper("DELETE FROM audit_auditentry WHERE chain = 'acme'")


def swap(one: int, other: int) -> None:
    move = "UPDATE audit_auditentry SET position = {} WHERE chain = 'acme' AND position = {}"
    tamper(move.format(-1, one), move.format(one, other), move.format(other, -1))


def close_gaps() -> None:
    """Renumber what is left, as if nothing had been there."""
    tamper(
        "UPDATE audit_auditentry e SET position = -t.n FROM (SELECT id, row_number() OVER (ORDER BY position) AS n"
        " FROM audit_auditentry WHERE chain = 'acme') t WHERE e.id = t.id",
        "UPDATE audit_auditentry SET position = -position WHERE chain = 'acme'",
    )


def rehash(from_position: int = 1) -> None:
    """Every digest anew, so that the chain itself is without a fault."""
    previous = GENESIS
    with without_triggers():
        for row in AuditEntry.objects.filter(chain="acme").order_by("position"):
            if row.position >= from_position:
                own = digest(previous, store.as_stored(row).link)
                AuditEntry.objects.filter(pk=row.pk).update(previous=previous, digest=own)
                previous = own
            else:
                previous = bytes(row.digest)


def fork(position: int) -> None:
    """The next entry follows the same one as this."""
    rows = {row.position: row for row in AuditEntry.objects.filter(chain="acme")}
    previous = bytes(rows[position].previous)
    with without_triggers():
        own = digest(previous, store.as_stored(rows[position + 1]).link)
        AuditEntry.objects.filter(pk=rows[position + 1].pk).update(previous=previous, digest=own)
