"""The ingest transaction: a batch of bus messages becomes events, deliveries and dispatches, or rejected events; once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from delivery import hints, spans
from delivery.fairness import FairShare
from delivery.order.ordering import Ordered, enqueue
from delivery.planning import PlannedDelivery, cut_batches, plan_event, share_lanes
from delivery.spans import Planning
from delivery.store import Hint, NewDispatch, copy_deliveries, copy_waiting, insert_dispatches
from eventcenter import store
from eventcenter.consumer import BusMessage, Place
from eventcenter.decode import Candidate, Rejection, decode
from eventcenter.envelope import partition_key
from eventcenter.models import RejectedEvent, RejectReason
from eventcenter.schemas import SchemaSet
from eventcenter.tracing import switch as tracing
from eventcenter.worker import process_shard
from subscriptions.matching import RoutingTable

# A hint that nobody claimed for so long is published again by the sweep (when its queue is short, delivery.sweep).
UNCLAIMED_LEASE_S = 10.0


@dataclass(frozen=True, slots=True)
class Ingested:
    """What one batch came to, for counters and logs; `planning` for its spans, where there are any."""

    events: int
    duplicates: int
    rejected: int
    deliveries: int
    hints: list[Hint]
    planning: Planning | None = None


def ingest(
    messages: Sequence[BusMessage],
    schemas: SchemaSet,
    routing: RoutingTable,
    now: datetime,
    commit_positions: Callable[[], None],
    shares: FairShare | None = None,
) -> Ingested:
    """Decode, then write all in one transaction with the offsets; publish the hints after it.

    With `shares`, what exceeds its tenant's share of the fast lane goes to a bulk lane.

    Raises what `commit_positions` raises (eventcenter.consumer.OffsetConflict) and database errors: nothing is kept then.
    """
    began_ns = time.time_ns()
    decoded = [decode(message, schemas, routing.tenant_id, now) for message in messages]
    candidates = [item for item in decoded if isinstance(item, Candidate)]
    rejections = [item for item in decoded if isinstance(item, Rejection)]
    with transaction.atomic():
        commit_positions()
        done = _write(candidates, rejections, routing, shares, now)
    hints.publish(done.hints)
    if done.planning is not None:
        spans.note_ingest(done.planning, len(messages), began_ns)
    return done


def set_aside(
    message: BusMessage, why: str, commit_positions: Callable[[Sequence[BusMessage]], dict[Place, int]]
) -> dict[Place, int]:
    """Keep a message that PostgreSQL cannot store as an event. Returns the new positions."""
    with transaction.atomic():
        positions = commit_positions([message])
        _keep_rejected([Rejection(message, RejectReason.UNSTORABLE, why)])
        store.add_ingest_counts(process_shard(), 0, 0, 1, 0)
    return positions


def _write(
    candidates: Sequence[Candidate],
    rejections: list[Rejection],
    routing: RoutingTable,
    shares: FairShare | None,
    now: datetime,
) -> Ingested:
    fresh = _claim(candidates)
    inserted = store.insert_events([item.row for item in fresh]) if fresh else set()
    events, late = _parted(fresh, inserted)
    taken = [_id_taken(item) for item in late]
    plan_ns = time.time_ns()
    deliveries = _plan(events, routing)
    planning = Planning(events, deliveries, plan_ns, time.time_ns()) if tracing.is_on() else None
    to_publish = _send_off(deliveries, shares, now)
    _keep_rejected([*rejections, *taken])
    rejected, duplicates = len(rejections) + len(taken), len(candidates) - len(fresh)
    store.add_ingest_counts(process_shard(), len(events), duplicates, rejected, len(deliveries))
    return Ingested(len(events), duplicates, rejected, len(deliveries), to_publish, planning)


def _send_off(deliveries: list[PlannedDelivery], shares: FairShare | None, now: datetime) -> list[Hint]:
    """The deliveries' rows, and dispatches for those that need not wait for one before them."""
    if not deliveries:
        return []
    waiting = _not_their_turn(deliveries)
    if waiting:
        copy_waiting([row for row in deliveries if row.id in waiting], now)
        deliveries = [row for row in deliveries if row.id not in waiting]
    copy_deliveries(deliveries, now)
    shared = share_lanes(deliveries, shares, time.monotonic()) if shares else deliveries
    batches = [NewDispatch(lane, ids) for lane, ids in cut_batches(shared)]
    return insert_dispatches(batches, UNCLAIMED_LEASE_S, now)


def _not_their_turn(deliveries: Sequence[PlannedDelivery]) -> set[UUID]:
    ordered = [Ordered(row.id, row.subscription_id, row.order_key) for row in deliveries if row.order_key]
    return enqueue(ordered) if ordered else set()


def _claim(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those whose key is theirs to use, each key once, the first in the batch before later ones.

    A key that stands in the batch under two ids is asked in rounds.
    """
    waiting: dict[tuple[UUID, UUID], Candidate] = {}
    for item in candidates:
        waiting.setdefault((item.digest, item.row.id), item)
    won: list[Candidate] = []
    while waiting:
        round_: dict[UUID, tuple[UUID, UUID]] = {}
        for digest, event_id in waiting:
            round_.setdefault(digest, (digest, event_id))
        claimed = store.claim_keys(list(round_.values()))
        won += [waiting[pair] for pair in round_.values() if pair[1] in claimed]
        for pair in round_.values():
            del waiting[pair]
    return won


def _parted(fresh: Sequence[Candidate], inserted: set[UUID]) -> tuple[list[Candidate], list[Candidate]]:
    """Those that were stored, and those whose id another event has: one in the table, or an earlier one of the batch."""
    stored: dict[UUID, Candidate] = {}
    for item in fresh:
        if item.row.id in inserted:
            stored.setdefault(item.row.id, item)
    return list(stored.values()), [item for item in fresh if stored.get(item.row.id) is not item]


def _plan(events: Sequence[Candidate], routing: RoutingTable) -> list[PlannedDelivery]:
    planned: list[PlannedDelivery] = []
    for item in events:
        routes = routing.tenant(item.envelope.tenant)
        if routes is not None:
            matched = routes.match(item.envelope)
            order_by = partition_key(item.envelope) if any(route.ordered for route in matched) else ""
            planned += plan_event(item.row.id, item.row.tenant_id, matched, order_by)
    return planned


def _id_taken(item: Candidate) -> Rejection:
    detail = f"id: another event has the id {item.row.id}"
    return Rejection(item.message, RejectReason.ID_TAKEN, detail, item.envelope.tenant or "")


def _keep_rejected(rejections: Sequence[Rejection]) -> None:
    RejectedEvent.objects.bulk_create(
        RejectedEvent(
            tenant_slug=item.tenant,
            reason=item.reason,
            detail=item.detail.replace("\0", ""),
            topic=item.message.topic,
            kafka_partition=item.message.partition,
            kafka_offset=item.message.offset,
            key=item.message.key,
            headers=item.headers(),
            value=item.message.value,
        )
        for item in rejections
    )
