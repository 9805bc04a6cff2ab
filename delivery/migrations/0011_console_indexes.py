from __future__ import annotations

from typing import ClassVar

from django.db import migrations

# What the console walks newest first, whatever is asked besides. Each holds rare rows alone, by columns that are empty in a
# delivery's usual life: one insert and one update, which stays HOT. On all tenants' indexes the tenant stands besides, so
# that row-level security is answered by the index.
INDEXES = {
    "delivery_delivery_dead_all": "(id DESC) INCLUDE (tenant_id) WHERE dead_at IS NOT NULL",
    "delivery_delivery_cancelled": "(tenant_id, id DESC) WHERE cancelled_at IS NOT NULL",
    "delivery_delivery_cancelled_all": "(id DESC) INCLUDE (tenant_id) WHERE cancelled_at IS NOT NULL",
    "delivery_delivery_open": "(id DESC) INCLUDE (tenant_id) WHERE due_at IS NOT NULL OR held_reason <> ''",
    "delivery_delivery_open_tenant": "(tenant_id, id DESC) WHERE due_at IS NOT NULL OR held_reason <> ''",
}
TABLE = "delivery_delivery"
# The table's own index, of no partition, takes its lock for an instant. Deliveries queue behind a migration that waits for it,
# so behind somebody's long transaction this one gives up and is run again: what it has made by then stays.
LOCK_TIMEOUT = "5s"


def make(apps, schema_editor):
    """A day after the other without stopping what writes to it; a partitioned table itself takes no CONCURRENTLY."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        try:
            for name, definition in INDEXES.items():
                _make(cursor, name, definition)
        finally:
            cursor.execute("RESET lock_timeout")


def _make(cursor, name, definition):
    cursor.execute(f"CREATE INDEX IF NOT EXISTS {name} ON ONLY {TABLE} {definition}")
    cursor.execute(
        "SELECT c.oid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        f" WHERE i.inhparent = '{TABLE}'::regclass ORDER BY 1"
    )
    for (partition,) in cursor.fetchall():
        own = f"{partition}{name.removeprefix(TABLE)}"
        cursor.execute("SELECT inhparent FROM pg_inherits WHERE inhrelid = to_regclass(%s)", [own])
        if cursor.fetchone():
            continue  # an earlier run came this far
        cursor.execute(f"DROP INDEX IF EXISTS {own}")  # one that an earlier run left half made is of no use
        # Within a transaction, where somebody put several migrations into one, it can only be made the other way.
        concurrently = "" if cursor.db.in_atomic_block else "CONCURRENTLY"
        cursor.execute(f"CREATE INDEX {concurrently} {own} ON {partition} {definition}")
        cursor.execute(f"ALTER INDEX {name} ATTACH PARTITION {own}")


def unmake(apps, schema_editor):
    for name in INDEXES:
        schema_editor.execute(f"DROP INDEX IF EXISTS {name}")


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY
    dependencies: ClassVar = [("delivery", "0010_bulk_cancel")]
    operations: ClassVar = [migrations.RunPython(make, unmake, elidable=False)]
