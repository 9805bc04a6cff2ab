"""Which of several processes does what only one may: the one that holds a session's advisory lock in PostgreSQL.

The lock is the connection's on which the work itself is done: when that is lost, so is the lock, and what would go on
without it fails with the connection.
"""

from __future__ import annotations

from django.db import connection

# Index: none; the lock's name in PostgreSQL's memory.
TAKE = "SELECT pg_try_advisory_lock(hashtext('delivery.telemetry.election'), hashtext(%s))"
GIVE_BACK = "SELECT pg_advisory_unlock(hashtext('delivery.telemetry.election'), hashtext(%s))"


class Election:
    """For the thread that makes it, which does the work on its own connection."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._held_by: object = None  # the driver's connection; a new one has no lock

    def is_held(self) -> bool:
        """As far as this side knows; a connection that the server ended shows at its next statement."""
        held = self._held_by is not None and self._held_by is connection.connection
        return held and not connection.connection.closed

    def won(self) -> bool:
        """Whether this process has it, or gets it now. Raises what the database raises."""
        if not self.is_held():
            self._held_by = None
            if self._asked(TAKE):
                self._held_by = connection.connection
        return self._held_by is not None

    def give_back(self) -> None:
        """Another process need not wait until the server notices that this one is gone."""
        if self.is_held():
            self._asked(GIVE_BACK)
        self._held_by = None

    def _asked(self, statement: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(statement, [self._name])
            (answer,) = cursor.fetchone()
        return bool(answer)
