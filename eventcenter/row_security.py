"""The second wall between tenants: PostgreSQL itself lets a web request see the rows of its tenants only.

While a request is served its connection has the role WEB_ROLE, to which row-level security applies; two session settings
say which tenants' rows there are. Workers, consumers and commands keep the role that owns the tables, which bypasses it.
The first wall is the scoped querysets of the views; this one holds where a view forgot (docs/adr/0020).

A request begins with no tenant at all, and its principal widens that. A setting made inside a transaction that is rolled
back falls back to the one before, which lets see less. A connection that is made anew within a request gets the scope of
that request (`connection_created`).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any, Final

import psycopg
from django.db import Error, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.pq import TransactionStatus

WEB_ROLE = "event_center_web"


class _All(Enum):
    ALL = "all"


ALL: Final = _All.ALL
Tenants = Collection[int] | _All  # ids
NO_TENANTS: Tenants = frozenset()

_ENTER = """
SELECT set_config('role', %s, false), set_config('eventcenter.all_tenants', %s, false),
    set_config('eventcenter.tenants', %s, false)
"""


class _Scope(threading.local):
    current: Tenants | None = None  # None: no request is being served; the connection is the owner's


_scope = _Scope()


def enter(tenants: Tenants) -> None:
    """Serve a request from here on; what it may see is what `tenants` names. Without a connection it comes with the next."""
    _scope.current = tenants
    _apply()


def leave() -> None:
    """The request is over: the connection is its owner's again."""
    _scope.current = None
    _apply()


def narrow(tenants: Tenants) -> None:
    """Another set of tenants, within a request; without one (a command, a worker) nothing happens."""
    if _scope.current is not None:
        enter(tenants)


def current() -> Tenants | None:
    return _scope.current


@contextmanager
def unscoped() -> Iterator[None]:
    """All tenants' rows for a moment: to find out who is asking, or for what belongs to the platform."""
    before = _scope.current
    if before is None or before is ALL:
        yield
        return
    enter(ALL)
    try:
        yield
    finally:
        _scope.current = before
        if not _will_roll_back():
            _apply()


@contextmanager
def scoped(tenants: Tenants) -> Iterator[None]:
    """As a request of these tenants would see it."""
    before = _scope.current
    enter(tenants)
    try:
        yield
    finally:
        _scope.current = before
        if not _will_roll_back():
            _apply()


def streaming(content: Iterable[bytes], tenants: Tenants) -> Iterator[bytes]:
    """The parts of a streamed answer, made after its request has been left, in the scope that it had."""
    enter(tenants)
    try:
        yield from content
    finally:
        leave()


def on_connection(sender: object, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Receiver of `connection_created`: a request that connects, or connects again, does so in its scope."""
    if _scope.current is not None and connection.alias == "default":
        _set(connection, _scope.current)


def _apply() -> None:
    """A connection that cannot be told anything is closed: the next one begins in the right scope."""
    if connection.connection is None:
        return
    try:
        _set(connection, _scope.current)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        with suppress(Error):
            connection.close()


def _set(wrapper: BaseDatabaseWrapper, tenants: Tenants | None) -> None:
    role = "none" if tenants is None else WEB_ROLE
    ids = "" if tenants is None or tenants is ALL else ",".join(str(int(tenant)) for tenant in sorted(tenants))
    # The driver's own connection: no query of the application, in no count of them.
    wrapper.connection.execute(_ENTER, [role, "on" if tenants is ALL else "off", f"{{{ids}}}"])


def _will_roll_back() -> bool:
    """In a failed transaction nothing can be set; its rollback sets what was before it."""
    raw = connection.connection
    return raw is not None and raw.info.transaction_status == TransactionStatus.INERROR


# --- for migrations ---------------------------------------------------------------------------------------------------

# Sub-selects, so that each is worked out once a query and not once a row; the outer cast makes the second one a value to
# ANY, and not a list of rows.
SEES_ALL = "(SELECT current_setting('eventcenter.all_tenants', true) = 'on')"
OWN_TENANTS = "coalesce(nullif(current_setting('eventcenter.tenants', true), ''), '{}')"
POLICY = "tenant_isolation"


# Partitions are reached through their table alone; named themselves they would go around its policy.
HIDE_PARTITIONS = f"""
DO $$
DECLARE partition regclass;
BEGIN
    FOR partition IN SELECT oid::regclass FROM pg_class WHERE relispartition AND relkind = 'r' LOOP
        EXECUTE format('REVOKE ALL ON %s FROM {WEB_ROLE}', partition);
    END LOOP;
END $$;
"""


def protect(table: str, rule: str) -> str:
    """SQL that puts a table under row-level security. `rule` is an SQL condition over the row, besides SEES_ALL."""
    return f"""
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    CREATE POLICY {POLICY} ON {table} TO {WEB_ROLE} USING ({SEES_ALL} OR {rule});
    """


def protect_by_tenant(table: str, column: str = "tenant_id") -> str:
    return protect(table, f"{column} = ANY ((SELECT {OWN_TENANTS}::bigint[])::bigint[])")


def unprotect(table: str) -> str:
    return f"DROP POLICY IF EXISTS {POLICY} ON {table}; ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;"
