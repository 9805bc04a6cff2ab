"""A PostgreSQL that refuses, for a while, to store some rows: with a trigger, in the database itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

DATA_EXCEPTION = "22000"  # becomes django.db.DataError


@contextmanager
def refusing(table: str, condition: str = "true", sqlstate: str = DATA_EXCEPTION) -> Iterator[Callable[[], int]]:
    """New and changed rows for which `condition` (SQL over NEW) holds are refused. Needs a test of its own transactions.

    Gives a function that says how often that happened so far.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE SEQUENCE test_refusals MINVALUE 0; CREATE FUNCTION test_refuse() RETURNS trigger LANGUAGE plpgsql"
            f" AS $$ BEGIN IF {condition} THEN PERFORM nextval('public.test_refusals');"
            f" RAISE EXCEPTION 'refused by the test' USING ERRCODE = '{sqlstate}'; END IF; RETURN NEW; END $$;"
            f" CREATE TRIGGER test_refuse BEFORE INSERT OR UPDATE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION test_refuse()"
        )
    try:
        yield _refusals
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION test_refuse CASCADE; DROP SEQUENCE test_refusals")


def _refusals() -> int:
    """A sequence is moved for good, also by a transaction that fails."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value + is_called::int FROM test_refusals")
        return int(cursor.fetchone()[0])
