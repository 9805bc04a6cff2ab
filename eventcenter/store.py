"""The hot path's SQL over the events' tables, a named statement a function. All else in this app is the ORM.

Cursors are psycopg's own on Django's connection: parameters travel binary and apart from the statement, inside whatever
transaction the caller has open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from django.db import connection


class EventRow(NamedTuple):
    """One row of eventcenter_event; `tags` comma-separated. A tuple, like all rows here: made fast, turned to columns fast."""

    id: UUID
    tenant_id: int
    type: str
    source: str
    subject: str
    producer_id: str
    time: datetime | None
    tags: str
    traceparent: str
    tracestate: str
    idempotency_key: str
    version: str
    body: bytes
    kafka_partition: int
    kafka_offset: int


class Accepted(NamedTuple):
    """An accepted event on its way out: what the outbox keeps until Kafka acknowledges it."""

    digest: UUID
    id: UUID
    key: str
    body: bytes


@contextmanager
def cursor() -> Iterator[psycopg.Cursor[Any]]:
    """A server-side-binding cursor on Django's connection of this thread. Errors come out as django.db's."""
    connection.ensure_connection()
    assert connection.connection is not None
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as made:
        yield made


def rows(statement: LiteralString, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
    with cursor() as cur:
        return cur.execute(statement, parameters, binary=True).fetchall()


def execute(statement: LiteralString, parameters: Sequence[object]) -> int:
    with cursor() as cur:
        return cur.execute(statement, parameters, binary=True).rowcount


def columns_of(table: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows to columns: what unnest takes. At least one row."""
    return [list(column) for column in zip(*table, strict=True)]


# Index: the primary key of each table. Sorted by digest, so that two batches wait for each other instead of deadlocking.
ACCEPT: LiteralString = """
WITH input AS (
    SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::text[], %b::bytea[]) AS t (digest, id, key, body) ORDER BY digest
), claimed AS (
    INSERT INTO eventcenter_idempotencykey (digest, event_id) SELECT digest, id FROM input
    ON CONFLICT (digest) DO NOTHING RETURNING digest, event_id
), kept AS (
    INSERT INTO eventcenter_outboxmessage (id, key, body)
    SELECT input.id, input.key, input.body FROM input JOIN claimed ON claimed.event_id = input.id
)
SELECT digest, event_id FROM claimed
"""
# Index: primary key.
KEY_OWNERS: LiteralString = "SELECT digest, event_id FROM eventcenter_idempotencykey WHERE digest = ANY(%s)"
# Index: primary key.
KEY_STATES: LiteralString = (
    "SELECT digest, event_id, ingested_at IS NOT NULL FROM eventcenter_idempotencykey WHERE digest = ANY(%s)"
)
# Index: primary key.
KEEP_IN_OUTBOX: LiteralString = """
INSERT INTO eventcenter_outboxmessage (id, key, body) SELECT * FROM unnest(%b::uuid[], %b::text[], %b::bytea[])
ON CONFLICT (id) DO NOTHING
"""
DELETE_OUTBOX: LiteralString = "DELETE FROM eventcenter_outboxmessage WHERE id = ANY(%s)"
# Index: eventcenter_outbox_key, backwards from the event's own id: the newest of the key that is older.
AHEAD_IN_OUTBOX: LiteralString = """
SELECT t.id, o.id FROM unnest(%b::uuid[], %b::text[]) AS t (id, key) CROSS JOIN LATERAL (
    SELECT id FROM eventcenter_outboxmessage WHERE key = t.key AND id < t.id ORDER BY id DESC LIMIT 1
) o
"""
# Index: primary key.
IN_OUTBOX: LiteralString = "SELECT id FROM eventcenter_outboxmessage WHERE id = ANY(%s)"
# Index: primary key, a range from its start (UUIDv7: the oldest first).
OLD_OUTBOX: LiteralString = "SELECT id, key, body FROM eventcenter_outboxmessage WHERE id < %s ORDER BY id LIMIT %s"
# Index: primary key. A key without ingested_at belongs to the event that the API gave it to, and to no other.
CLAIM_KEYS: LiteralString = """
INSERT INTO eventcenter_idempotencykey AS k (digest, event_id, ingested_at)
SELECT digest, event_id, now() FROM unnest(%b::uuid[], %b::uuid[]) AS t (digest, event_id) ORDER BY digest
ON CONFLICT (digest) DO UPDATE SET ingested_at = now()
WHERE k.ingested_at IS NULL AND k.event_id = excluded.event_id
RETURNING event_id
"""
# Index: primary key (the conflict). What does not return had an id that another event has.
INSERT_EVENTS: LiteralString = """
INSERT INTO eventcenter_event (id, tenant_id, type, source, subject, producer_id, time, tags, traceparent,
    tracestate, idempotency_key, version, body, kafka_partition, kafka_offset, ingested_at, trace)
SELECT id, tenant_id, type, source, subject, producer_id, time, string_to_array(tags, ','), traceparent,
    tracestate, idempotency_key, version, body, kafka_partition, kafka_offset, now(),
    nullif(substr(traceparent, 4, 32), '')::uuid
FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::text[],
    %b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::integer[], %b::bigint[])
    AS t (id, tenant_id, type, source, subject, producer_id, time, tags, traceparent, tracestate, idempotency_key, version,
        body, kafka_partition, kafka_offset)
ON CONFLICT (id) DO NOTHING RETURNING id
"""
# Index: unique (topic, partition). Compare-and-set: a consumer that lost the partition moves nothing.
ADVANCE_OFFSETS: LiteralString = """
UPDATE eventcenter_consumeroffset AS o SET next_offset = t.after, updated_at = now()
FROM unnest(%b::text[], %b::integer[], %b::bigint[], %b::bigint[]) AS t (topic, partition, before, after)
WHERE o.topic = t.topic AND o.partition = t.partition AND o.next_offset = t.before
"""
ADD_INGEST_COUNTS: LiteralString = """
INSERT INTO eventcenter_ingestcounter AS c (minute, shard, ingested, duplicates, rejected, planned)
VALUES (date_trunc('minute', now()), %s, %s, %s, %s, %s)
ON CONFLICT (minute, shard) DO UPDATE SET ingested = c.ingested + excluded.ingested,
    duplicates = c.duplicates + excluded.duplicates, rejected = c.rejected + excluded.rejected,
    planned = c.planned + excluded.planned
"""
# Index: unique (adapter, minute, outcome, reason). Sorted, so that two answers wait for each other instead of deadlocking.
ADD_ADAPTER_COUNTS: LiteralString = """
INSERT INTO eventcenter_adaptercount AS c (tenant_id, adapter_id, minute, outcome, reason, count)
SELECT %b::bigint, %b::bigint, date_trunc('minute', now()), outcome, reason, count
FROM unnest(%b::text[], %b::text[], %b::bigint[]) AS t (outcome, reason, count) ORDER BY outcome, reason
ON CONFLICT (adapter_id, minute, outcome, reason) DO UPDATE SET count = c.count + excluded.count
"""
# Index: primary key.
ADD_PUBLISH_REFUSAL: LiteralString = """
INSERT INTO eventcenter_publishrefusalcounter AS c (minute, tenant_id, reason, shard, count)
VALUES (date_trunc('minute', now()), %s, %s, %s, 1)
ON CONFLICT (minute, tenant_id, reason, shard) DO UPDATE SET count = c.count + 1
"""
# Index: primary key, a range of minutes. No process has the shard -1.
FOLD_PUBLISH_REFUSALS: LiteralString = """
WITH gone AS (
    DELETE FROM eventcenter_publishrefusalcounter WHERE minute < %s AND shard >= 0
    RETURNING date_trunc('day', minute, 'UTC') AS day, tenant_id, reason, count
), kept AS (
    INSERT INTO eventcenter_publishrefusalcounter AS c (minute, tenant_id, reason, shard, count)
    SELECT day, tenant_id, reason, -1, sum(count) FROM gone GROUP BY day, tenant_id, reason
    ON CONFLICT (minute, tenant_id, reason, shard) DO UPDATE SET count = c.count + excluded.count
)
SELECT count(*) FROM gone
"""
BEAT: LiteralString = """
INSERT INTO eventcenter_heartbeat AS b (role, instance, seen_at) VALUES (%s, %s, now())
ON CONFLICT (role, instance) DO UPDATE SET seen_at = now(),
    since = CASE WHEN b.seen_at < now() - interval '15 seconds' THEN now() ELSE b.since END
"""


def accept(accepted: Sequence[Accepted]) -> dict[UUID, UUID]:
    """Claim the keys and keep the outbox rows of those that were free. Digests must be distinct.

    Returns digest → event id for every digest: the given id where it was free, else the first one's.
    """
    owners = dict(rows(ACCEPT, columns_of(accepted)))
    taken = [row.digest for row in accepted if row.digest not in owners]
    return owners | dict(rows(KEY_OWNERS, [taken])) if taken else owners


def key_states(digests: Collection[UUID]) -> dict[UUID, tuple[UUID, bool]]:
    """Digest → whose it is, and whether that event was ingested; a free one is missing."""
    found = rows(KEY_STATES, [list(digests)])
    return {digest: (event_id, ingested) for digest, event_id, ingested in found}


def keep_in_outbox(messages: Sequence[tuple[UUID, str, bytes]]) -> None:
    """(event id, Kafka key, structured CloudEvent), at least one; what is there stays as it is."""
    execute(KEEP_IN_OUTBOX, columns_of(messages))


def delete_outbox(ids: Sequence[UUID]) -> None:
    execute(DELETE_OUTBOX, [list(ids)])


def ahead_in_outbox(events: Sequence[tuple[UUID, str]]) -> dict[UUID, UUID]:
    """(id, Kafka key) → the event of the same key right before it that Kafka has not acknowledged, where there is one."""
    return dict(rows(AHEAD_IN_OUTBOX, columns_of(events)))


def in_outbox(ids: Collection[UUID]) -> set[UUID]:
    """Those that Kafka has not acknowledged."""
    return {row[0] for row in rows(IN_OUTBOX, [list(ids)])}


def old_outbox(before: UUID, most: int) -> list[tuple[UUID, str, bytes]]:
    """Outbox rows with ids below `before`, oldest first: (event id, Kafka key, structured CloudEvent)."""
    return rows(OLD_OUTBOX, [before, most])


def claim_keys(pairs: Sequence[tuple[UUID, UUID]]) -> set[UUID]:
    """(digest, event id) pairs with distinct digests → the ids of the events that are now this transaction's to plan."""
    return {row[0] for row in rows(CLAIM_KEYS, columns_of(pairs))}


def insert_events(events: Sequence[EventRow]) -> set[UUID]:
    """Returns the ids that were inserted."""
    return {row[0] for row in rows(INSERT_EVENTS, columns_of(events))}


def advance_offsets(moves: Sequence[tuple[str, int, int, int]]) -> bool:
    """(topic, partition, before, after) → whether every one of them still stood at `before` and was moved."""
    return execute(ADVANCE_OFFSETS, columns_of(sorted(moves))) == len(moves)


def add_ingest_counts(shard: int, ingested: int, duplicates: int, rejected: int, planned: int) -> None:
    execute(ADD_INGEST_COUNTS, [shard, ingested, duplicates, rejected, planned])


def add_adapter_counts(tenant_id: int, adapter_id: int, counts: Sequence[tuple[str, str, int]]) -> None:
    """(outcome, reason, how many) with distinct pairs of the first two; at least one."""
    execute(ADD_ADAPTER_COUNTS, [tenant_id, adapter_id, *columns_of(counts)])


def add_publish_refusal(tenant_id: int, reason: str, shard: int) -> None:
    execute(ADD_PUBLISH_REFUSAL, [tenant_id, reason, shard])


def fold_publish_refusals(before: datetime) -> int:
    """Returns how many rows became rows of their days."""
    return int(rows(FOLD_PUBLISH_REFUSALS, [before])[0][0])


def beat(role: str, instance: str) -> None:
    execute(BEAT, [role, instance])
