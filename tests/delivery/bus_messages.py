"""Messages as the consumer reads them from the bus, made from real envelopes, and the ingest as the consumer calls it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import msgspec
from django.utils import timezone

from delivery.bench.events import release_data
from delivery.ingest import Ingested, ingest
from eventcenter import registry
from eventcenter.bus import EVENT_ID_HEADER
from eventcenter.consumer import BusMessage
from eventcenter.envelope import Envelope, partition_key, to_kafka, to_structured
from subscriptions.routing import routing

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_offsets = itertools.count(1000)


def release(tenant: str, /, **changes: object) -> Envelope:
    """A plugin release that is right in every field; `changes` are attributes."""
    envelope = Envelope(
        id=str(uuid4()),
        source="/pipelines/release",
        type="plugin.release.published",
        subject="payments-gateway",
        tenant=tenant,
        tags=("stable", "eu"),
        data=release_data(tenant, "payments-gateway", "2.4.1"),
    )
    return msgspec.structs.replace(envelope, **changes)


def on_bus(envelope: Envelope, event_id: UUID | None = None) -> BusMessage:
    """In binary mode; with `event_id` as the publish API's producer writes it."""
    headers, value = to_kafka(envelope)
    own = [(EVENT_ID_HEADER, event_id.hex.encode())] if event_id else []
    return BusMessage("events", 0, next(_offsets), partition_key(envelope).encode(), [*headers, *own], value)


def structured_on_bus(envelope: Envelope) -> BusMessage:
    headers = [("content-type", b"application/cloudevents+json")]
    return BusMessage("events", 0, next(_offsets), None, headers, to_structured(envelope))


def raw(value: bytes, headers: Sequence[tuple[str, bytes | None]] = (), key: bytes | None = None) -> BusMessage:
    return BusMessage("events", 2, next(_offsets), key, headers, value)


def nothing_to_commit() -> None:
    """Offsets are no matter of the test."""


def ingest_now(*messages: BusMessage, commit_positions: Callable[[], None] = nothing_to_commit) -> Ingested:
    """One batch, by the configuration that the database holds now."""
    return ingest(messages, registry.schemas.reload(), routing.reload(), timezone.now(), commit_positions)
