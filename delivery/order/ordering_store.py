"""The SQL of delivery.order.ordering over its queue and the deliveries that stand in it: a named statement a function.

Each is to see what was committed before the lock was had: PostgreSQL's READ COMMITTED, a snapshot a statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import LiteralString, NamedTuple
from uuid import UUID

from delivery.store import id_bounds
from eventcenter.store import columns_of, execute, rows

# Locks are kept in a table of fixed size that all transactions share (max_locks_per_transaction x max_connections, 6,400
# by default): a lock a key would fill it with a few large batches. Two keys of one stripe only wait a little longer.
STRIPES = 256


class Ordered(NamedTuple):
    """One delivery on its way into the queue."""

    delivery_id: UUID
    subscription_id: int
    order_key: UUID


class Place(NamedTuple):
    """A row of the queue, and how its delivery stands; None: there is no such delivery any more."""

    order_key: UUID
    delivery_id: UUID
    subscription_id: int
    status: str | None
    held_reason: str | None


# The array is sorted and unnest keeps its order, so two transactions take their stripes in one order. The lock's first
# number sets it apart from other advisory locks.
LOCK: LiteralString = """
SELECT pg_advisory_xact_lock(hashtext('delivery.order.ordering'), stripe) FROM unnest(%b::integer[]) AS t (stripe)
"""
# Index: ordered_delivery_head. EXISTS sees the queue as it was before this statement's own rows.
JOIN: LiteralString = """
WITH item AS (
    SELECT t.*, row_number() OVER (PARTITION BY order_key ORDER BY place) > 1 AS follows
    FROM unnest(%b::uuid[], %b::bigint[], %b::uuid[]) WITH ORDINALITY AS t (delivery_id, subscription_id, order_key, place)
), joined AS (
    INSERT INTO delivery_ordereddelivery (order_key, subscription_id, delivery_id)
    SELECT order_key, subscription_id, delivery_id FROM item ORDER BY place
)
SELECT delivery_id FROM item WHERE follows
    OR EXISTS (SELECT FROM delivery_ordereddelivery o WHERE o.order_key = item.order_key)
"""
# Index: unique on delivery_id.
KEYS_OF: LiteralString = "SELECT DISTINCT order_key FROM delivery_ordereddelivery WHERE delivery_id = ANY(%s)"
LEAVE: LiteralString = "DELETE FROM delivery_ordereddelivery WHERE delivery_id = ANY(%s)"
# Index: unique on delivery_id, then ordered_delivery_head.
BEHIND: LiteralString = """
SELECT o.delivery_id FROM delivery_ordereddelivery o WHERE o.delivery_id = ANY(%s)
    AND EXISTS (SELECT FROM delivery_ordereddelivery p WHERE p.order_key = o.order_key AND p.seq < o.seq)
"""
# Index: ordered_delivery_head, then the deliveries' primary key. OFFSET 0 keeps the look-up inside its loop, where the one
# partition of each id is found; as a join it could become a scan of every day.
FIRST: LiteralString = """
SELECT k.order_key, o.delivery_id, o.subscription_id, d.status, d.held_reason
FROM unnest(%b::uuid[]) AS k (order_key) CROSS JOIN LATERAL (
    SELECT seq, delivery_id, subscription_id FROM delivery_ordereddelivery
    WHERE order_key = k.order_key ORDER BY seq LIMIT %s
) o LEFT JOIN LATERAL (
    SELECT status, held_reason FROM delivery_delivery WHERE id = o.delivery_id OFFSET 0
) d ON true ORDER BY o.seq
"""
# Index: primary keys of the partitions within the bounds. The time that it waited for its turn is not its age: its round
# begins here, unless it had begun before.
RELEASE: LiteralString = """
UPDATE delivery_delivery SET held_reason = '', due_at = NULL, next_attempt_at = now(),
    round_at = CASE WHEN tries = 0 THEN now() ELSE round_at END
WHERE id = ANY(%s) AND id >= %s AND id <= %s AND held_reason = 'ordering' AND status IN ('pending', 'retrying')
RETURNING id
"""
PARK: LiteralString = """
UPDATE delivery_delivery SET held_reason = 'ordering', due_at = NULL, next_attempt_at = now()
WHERE id = ANY(%s) AND id >= %s AND id <= %s AND status IN ('pending', 'retrying')
"""
# Index: ordered_delivery_head, one probe a key: a walk from each key to the next.
WALK: LiteralString = """
WITH RECURSIVE walk AS (
    (SELECT order_key, 1 AS number FROM delivery_ordereddelivery WHERE order_key > %s ORDER BY order_key LIMIT 1)
    UNION ALL
    SELECT (SELECT o.order_key FROM delivery_ordereddelivery o WHERE o.order_key > walk.order_key
        ORDER BY o.order_key LIMIT 1), number + 1
    FROM walk WHERE walk.order_key IS NOT NULL AND number < %s
) SELECT order_key FROM walk WHERE order_key IS NOT NULL
"""
# Index: ordered_delivery_head.
DISSOLVE: LiteralString = """
DELETE FROM delivery_ordereddelivery WHERE seq IN (
    SELECT seq FROM delivery_ordereddelivery WHERE order_key = ANY(%s) ORDER BY seq LIMIT %s
) RETURNING seq, delivery_id
"""


def lock(keys: Iterable[UUID]) -> None:
    """Nobody else changes these lines until the transaction ends."""
    rows(LOCK, [sorted({key.int % STRIPES for key in keys})])


def join(items: Sequence[Ordered]) -> set[UUID]:
    """Put them at the end of their lines, in this order. Returns those that are not the first of theirs."""
    return {row[0] for row in rows(JOIN, columns_of(items))}


def keys_of(ids: Sequence[UUID]) -> list[UUID]:
    """The lines in which some of these deliveries stand."""
    return [row[0] for row in rows(KEYS_OF, [list(ids)])]


def leave(ids: Sequence[UUID]) -> None:
    execute(LEAVE, [list(ids)])


def behind(ids: Sequence[UUID]) -> list[UUID]:
    """Those that stand in a line and are not its first."""
    return [row[0] for row in rows(BEHIND, [list(ids)])]


def first(keys: Sequence[UUID], most: int) -> list[Place]:
    """The first places of each line, `most` of each, older ones before."""
    return [Place(*row) for row in rows(FIRST, [list(keys), most])]


def release(ids: Sequence[UUID]) -> list[UUID]:
    """Those that waited for their turn and do no more: they are the caller's to dispatch. In the order of `ids`."""
    freed = {row[0] for row in rows(RELEASE, [list(ids), *id_bounds(ids)])}
    return [delivery_id for delivery_id in ids if delivery_id in freed]


def park(ids: Sequence[UUID]) -> None:
    """They wait for their turn from here."""
    execute(PARK, [list(ids), *id_bounds(ids)])


def keys_after(key: UUID, most: int) -> list[UUID]:
    """Lines in the order of their keys."""
    return [row[0] for row in rows(WALK, [key, most])]


def dissolve(keys: Sequence[UUID], most: int) -> list[UUID]:
    """End the lines, `most` rows at a time, older ones first. Returns the deliveries that stood in them, in that order."""
    return [row[1] for row in sorted(rows(DISSOLVE, [list(keys), most]))]
