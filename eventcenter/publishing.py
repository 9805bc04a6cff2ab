"""Accepting events from publishers: check all, keep all in one transaction, then hand them to Kafka."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import transaction

from eventcenter import store
from eventcenter.bus import outbox_producer
from eventcenter.envelope import (
    Envelope,
    FieldProblem,
    effective_idempotency_key,
    partition_key,
    to_kafka,
    to_structured,
)
from eventcenter.envelope.attributes import MAX_EXTENSIONS
from eventcenter.ids import new_id
from eventcenter.log_context import serving
from eventcenter.schemas import SchemaSet
from eventcenter.tracing.spans import new_trace

TRACESTATE = "tracestate"  # an extension attribute: CloudEvents' distributed tracing extension names it


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a publisher is told of one event. `id` is ours; of a duplicate, the first one's."""

    id: UUID
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    envelope: Envelope
    id: UUID
    digest: UUID
    key: str


def key_digest(tenant: str, idempotency_key: str) -> UUID:
    """16 bytes of BLAKE2b over both, NUL between (neither may hold one)."""
    return UUID(bytes=hashlib.blake2b(f"{tenant}\0{idempotency_key}".encode(), digest_size=16).digest())


def find_problems(envelope: Envelope, tenant: str, schemas: SchemaSet) -> list[FieldProblem]:
    """What is wrong with an event that `tenant` wants to publish; empty when nothing is. Unknown types are the caller's."""
    problems = []
    if envelope.tenant not in (None, tenant):
        problems.append(
            FieldProblem("tenant", f"The publish key belongs to {tenant!r}; leave it out or name that tenant.")
        )
    return problems + schemas.problems(
        envelope.type, envelope.dataschema, envelope.datacontenttype, envelope.data, tenant
    )


def publish(tenant: str, envelopes: Sequence[Envelope]) -> list[Receipt]:
    """Keep and send events that were found right. When this returns, they are committed: none is lost from here on."""
    if not envelopes:
        return []
    prepared = _prepare(tenant, envelopes)
    with transaction.atomic():
        receipts, new = _accept(prepared)
    _send(new)
    return receipts


def keep(tenant: str, envelopes: Sequence[Envelope]) -> list[Receipt]:
    """Like `publish`, for events of our own that belong to a change of state: kept in the caller's transaction, sent after
    its commit. Rolled back with it, they never were. The caller is inside transaction.atomic(), and gives each event an
    id and source (or idempotencykey) that are the same when the change is tried again.

    Kafka's absence is no error: the rows stay in the outbox, and the relay sends them.
    """
    if not envelopes:
        return []
    receipts, new = _accept(_prepare(tenant, envelopes))
    transaction.on_commit(partial(_send, new), robust=True)
    return receipts


def keep_again(prepared: Sequence[Prepared]) -> list[Receipt]:
    """Like `keep`, for what stood on the bus already and was not taken there. Its ids stay.

    An event that holds its key since the API accepted it, and was never ingested, goes once more; of several with one key
    the first one goes. The others are duplicates of whoever has the key.
    """
    first: dict[UUID, Prepared] = {}
    for item in prepared:
        first.setdefault(item.digest, item)
    store.accept(
        [store.Accepted(item.digest, item.id, item.key, to_structured(item.envelope)) for item in first.values()]
    )
    states = store.key_states(first)
    going = {digest: item for digest, item in first.items() if states[digest] == (item.id, False)}
    if going:
        store.keep_in_outbox([(item.id, item.key, to_structured(item.envelope)) for item in going.values()])
        transaction.on_commit(partial(_send, list(going.values())), robust=True)
    return [Receipt(states[item.digest][0], going.get(item.digest) is not item) for item in prepared]


def _accept(prepared: Sequence[Prepared]) -> tuple[list[Receipt], list[Prepared]]:
    """In the open transaction: claim the keys, keep what was free. Returns what to tell and what is to be sent."""
    first: dict[UUID, Prepared] = {}  # in the order of the batch: events of one subject must not overtake each other
    for item in prepared:
        first.setdefault(item.digest, item)
    accepted = [store.Accepted(item.digest, item.id, item.key, to_structured(item.envelope)) for item in first.values()]
    owners = store.accept(accepted)
    receipts = [Receipt(owners[item.digest], owners[item.digest] != item.id) for item in prepared]
    return receipts, [item for item in first.values() if owners[item.digest] == item.id]


def _send(prepared: Sequence[Prepared]) -> None:
    outbox_producer().send([(item.id, item.key, *to_kafka(item.envelope)) for item in prepared])


def _prepare(tenant: str, envelopes: Sequence[Envelope]) -> list[Prepared]:
    prepared = []
    for envelope in envelopes:
        owned = msgspec.structs.replace(_traced(envelope, alone=len(envelopes) == 1), tenant=tenant)
        digest = key_digest(tenant, effective_idempotency_key(owned))
        prepared.append(Prepared(owned, new_id(), digest, partition_key(owned)))
    return prepared


def _traced(envelope: Envelope, alone: bool) -> Envelope:
    """Every event has a trace. A lone one without its own belongs to the request's (W3C Trace Context), with its state;
    what it says itself of a state without a trace means nothing."""
    if envelope.traceparent:
        return envelope
    request = serving()
    others = {name: value for name, value in envelope.extensions.items() if name != TRACESTATE}
    traceparent = request.traceparent if alone else ""
    if traceparent and request.tracestate and len(others) < MAX_EXTENSIONS:
        others[TRACESTATE] = request.tracestate
    traceparent = traceparent or new_trace(settings.KAFKA_EVENTS_TOPIC, request.trace)
    return msgspec.structs.replace(envelope, traceparent=traceparent, extensions=others)
