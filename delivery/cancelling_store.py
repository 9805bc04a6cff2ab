"""The SQL of delivery.cancelling: a named statement a function.

SKIP LOCKED, so that no transaction that holds many of these rows waits for another that does: workers take theirs in the
order in which results came.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from delivery.store import id_bounds
from eventcenter.store import cursor

# Index: primary keys of the partitions within the bounds, in both.
CANCEL: LiteralString = """
WITH taken AS (
    SELECT id FROM delivery_delivery WHERE id = ANY(%(ids)s) AND id >= %(floor)s AND id <= %(ceiling)s
        AND status IN ('pending', 'retrying') AND (%(parked)s OR held_reason <> 'ordering') FOR UPDATE SKIP LOCKED
)
UPDATE delivery_delivery d SET status = 'cancelled', cancelled_at = %(now)s, finished_at = %(now)s,
    next_attempt_at = NULL, due_at = NULL, held_reason = ''
FROM taken WHERE d.id = taken.id AND d.id >= %(floor)s AND d.id <= %(ceiling)s RETURNING d.id, d.subscription_id
"""
STILL_OPEN: LiteralString = """
SELECT id FROM delivery_delivery WHERE id = ANY(%(ids)s) AND id >= %(floor)s AND id <= %(ceiling)s
    AND status IN ('pending', 'retrying')
"""


def cancel(ids: Sequence[UUID], now: datetime, *, parked: bool) -> list[tuple[UUID, int]]:
    """(id, subscription) of those that were open and in nobody's hand; they are cancelled. `parked`: also those that wait
    for their turn, of whose lines the caller has the lock."""
    with cursor() as cur:
        return cur.execute(CANCEL, _parameters(ids) | {"now": now, "parked": parked}, binary=True).fetchall()


def still_open(ids: Sequence[UUID]) -> set[UUID]:
    with cursor() as cur:
        return {row[0] for row in cur.execute(STILL_OPEN, _parameters(ids), binary=True)}


def _parameters(ids: Sequence[UUID]) -> dict[str, object]:
    floor, ceiling = id_bounds(ids)
    return {"ids": list(ids), "floor": floor, "ceiling": ceiling}
