"""Accepting events from publishers: check all, keep all in one transaction, then hand them to Kafka."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
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
from eventcenter.ids import new_id
from eventcenter.schemas import SchemaSet


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
    prepared = [_prepare(tenant, envelope) for envelope in envelopes]
    first: dict[UUID, Prepared] = {}  # in the order of the batch: events of one subject must not overtake each other
    for item in prepared:
        first.setdefault(item.digest, item)
    accepted = [store.Accepted(item.digest, item.id, item.key, to_structured(item.envelope)) for item in first.values()]
    with transaction.atomic():
        owners = store.accept(accepted)
    for item in first.values():
        if owners[item.digest] == item.id:
            headers, value = to_kafka(item.envelope)
            outbox_producer().send(item.id, item.key, headers, value)
    return [Receipt(owners[item.digest], owners[item.digest] != item.id) for item in prepared]


def _prepare(tenant: str, envelope: Envelope) -> Prepared:
    owned = msgspec.structs.replace(envelope, tenant=tenant)
    return Prepared(owned, new_id(), key_digest(tenant, effective_idempotency_key(owned)), partition_key(owned))
