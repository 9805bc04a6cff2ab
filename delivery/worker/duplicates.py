"""Known duplicates: sends of which a receiver may have had the same before, though nobody asked for it again.

They come from one thing alone: a dispatch is taken from a worker that had claimed it and went silent (delivery.sweep). What
that worker had sent and not recorded is sent once more by the next holder. Two signs tell of it, and count it once, by the
token that was lost:

- `resent`: the next holder records a send. The silent worker may have made it before; whether it had come so far
  nobody knows, so that this is the most that there can be. It is no more, an endpoint and lost worker, than a worker may
  have sent and not recorded: UNRECORDED_MOST and what may be in flight to the endpoint at once.
- `late`: the silent worker lives after all, and its result comes when its token holds no more. It had sent, and somebody
  else sends again, or has.

A late result is no duplicate when the request never left us, when the delivery was cancelled by hand or died unsent before
anybody sent it again, or when it is our own, recorded already by a transaction whose answer was lost. A replay is no
duplicate either: somebody asked for it. What the next holder had to hold (a limit, an open breaker) and sends later from
another dispatch is counted only if the silent worker comes back.

Nothing of this touches a delivery whose dispatch was never lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import LiteralString, NamedTuple
from uuid import UUID

from django.conf import settings

from delivery.models import DuplicateCause
from delivery.store import ResultRow, id_bounds
from delivery.worker.consequences import Judged
from delivery.worker.held import UNRECORDED_MOST, Lost
from eventcenter.ids import new_id
from eventcenter.store import columns_of, execute
from eventcenter.worker import instance_name
from subscriptions.models import Channel
from subscriptions.routing import delivery_settings

OTHERS_IN_FLIGHT_MOST = 200  # the most that any transport but webhooks has on its way to one endpoint


class LostSend(NamedTuple):
    """A send under a token that was lost. The order of the fields is the order of the statements' arrays."""

    id: UUID
    delivery_id: UUID
    tenant_id: int
    endpoint_id: int
    dispatch_id: int
    token: int
    worker: str
    started_at: datetime | None
    most: int


_INPUT: LiteralString = """
unnest(%b::uuid[], %b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[], %b::integer[], %b::text[],
    %b::timestamptz[], %b::integer[])
    AS s (id, delivery_id, tenant_id, endpoint_id, dispatch_id, token, worker, started_at, most)
"""
# Index: unique (delivery, dispatch, token): one that was counted is left alone. The counter is the recording process' own.
_COUNTED: LiteralString = """, kept AS (
    INSERT INTO delivery_duplicatesend (id, delivery_id, tenant_id, endpoint_id, dispatch_id, token, worker, cause, at)
    SELECT id, delivery_id, tenant_id, endpoint_id, dispatch_id, token, worker, %s, now() FROM sent ORDER BY delivery_id, token
    ON CONFLICT (delivery_id, dispatch_id, token) DO NOTHING RETURNING tenant_id, endpoint_id
)
INSERT INTO delivery_deliverycounter AS c (minute, endpoint_id, shard, tenant_id, attempts, first_attempts, first_delivered,
    delivered, failed, retried, dead, deferred, signature_refused, latency_buckets, latency_ms_sum, duplicates)
SELECT date_trunc('minute', now()), endpoint_id, %s, tenant_id, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{}', 0, count(*)
FROM kept GROUP BY endpoint_id, tenant_id ORDER BY endpoint_id
ON CONFLICT (minute, endpoint_id, shard) DO UPDATE SET duplicates = c.duplicates + excluded.duplicates
"""
# Index: duplicate_send_of, the last hour: a worker's name may come again later.
NOTE_RESENT: LiteralString = (
    """
WITH sent AS (
    SELECT * FROM (
        SELECT s.*, row_number() OVER (PARTITION BY worker, endpoint_id ORDER BY delivery_id, token) AS place FROM """
    + _INPUT
    + """) s
    WHERE place + (SELECT count(*) FROM delivery_duplicatesend k WHERE k.at > now() - interval '1 hour'
        AND k.worker = s.worker AND k.endpoint_id = s.endpoint_id) <= most
)"""
    + _COUNTED
)
# Index: primary keys of one or two days' partitions. Who else sends it is seen by an attempt that began later, or is still
# to come while the delivery is open.
NOTE_LATE: LiteralString = (
    "WITH sent AS (SELECT s.* FROM "
    + _INPUT
    + """JOIN delivery_delivery d ON d.id = s.delivery_id AND d.id >= %s AND d.id <= %s
    WHERE NOT EXISTS (SELECT FROM delivery_dispatch x WHERE x.id = s.dispatch_id AND x.token = s.token)
        AND NOT EXISTS (SELECT FROM delivery_attempt a WHERE a.delivery_id = s.delivery_id AND a.started_at = s.started_at)
        AND (d.status IN ('pending', 'retrying') OR EXISTS (
            SELECT FROM delivery_attempt a WHERE a.delivery_id = s.delivery_id AND a.started_at > s.started_at))
)"""
    + _COUNTED
)


def note_resent(recorded: Iterable[Judged], shard: int) -> None:
    """In the transaction that recorded them: those that were sent from dispatches that had been lost."""
    sent = [
        _send(item, lost, None)
        for item in recorded
        if item.outcome.spends_attempt and item.outcome.started_at
        for lost in item.held.batch.lost
    ]
    if sent:
        execute(NOTE_RESENT, [*columns_of(sent), DuplicateCause.RESENT, shard])


def note_late(without_effect: Sequence[tuple[Judged, ResultRow]], shard: int) -> None:
    """Of this worker's results that moved nothing."""
    sent = [
        _send(item, Lost(item.held.batch.token, instance_name()), row.started_at)
        for item, row in without_effect
        if item.outcome.may_have_arrived
    ]
    if sent:
        floor, ceiling = id_bounds([send.delivery_id for send in sent])
        execute(NOTE_LATE, [*columns_of(sent), floor, ceiling, DuplicateCause.LATE, shard])


def _send(item: Judged, lost: Lost, started_at: datetime | None) -> LostSend:
    loaded, batch = item.held.loaded, item.held.batch
    whose = (new_id(), loaded.id, loaded.tenant_id, loaded.endpoint_id, batch.dispatch_id)
    return LostSend(*whose, lost.token, lost.worker, started_at, _in_doubt_most(loaded.endpoint_id))


def _in_doubt_most(endpoint_id: int) -> int:
    """How many sends to an endpoint a worker can leave behind unrecorded."""
    sink = delivery_settings.get().sinks.get(endpoint_id)
    is_webhook = sink is not None and sink.channel == Channel.WEBHOOK
    in_flight = settings.WEBHOOK_MAX_IN_FLIGHT_PER_ENDPOINT if is_webhook else OTHERS_IN_FLIGHT_MOST
    return UNRECORDED_MOST + int(in_flight)
