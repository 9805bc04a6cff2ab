"""A PostgreSQL that refuses, for a while, to store some rows: with a trigger, in the database itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

DATA_EXCEPTION = "22000"  # becomes django.db.DataError
INTEGRITY_VIOLATION = "23000"


@contextmanager
def refusing(table: str, condition: str = "true", sqlstate: str = DATA_EXCEPTION) -> Iterator[None]:
    """New and changed rows for which `condition` (SQL over NEW) holds are refused. Needs a test of its own transactions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION test_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF {condition} THEN RAISE EXCEPTION 'refused by the test' USING ERRCODE = '{sqlstate}'; END IF;"
            " RETURN NEW; END $$;"
            f"CREATE TRIGGER test_refuse BEFORE INSERT OR UPDATE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION test_refuse()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION test_refuse CASCADE")
