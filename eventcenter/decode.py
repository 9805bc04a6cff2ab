"""From a message on the bus to an event ready to be stored, or to the reason why it is kept aside. Pure but for new ids."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from eventcenter.bus import EVENT_ID_ATTRIBUTE
from eventcenter.consumer import BusMessage
from eventcenter.envelope import (
    Envelope,
    EnvelopeError,
    effective_idempotency_key,
    in_v1_words,
    is_v1_message,
    parse_kafka,
    to_structured,
)
from eventcenter.ids import id_floor, new_id
from eventcenter.models import RejectReason
from eventcenter.publishing import TRACESTATE, key_digest
from eventcenter.schemas import SchemaSet
from eventcenter.store import EventRow
from eventcenter.tracing.bus_spans import given_beside
from eventcenter.tracing.spans import new_trace
from eventcenter.tracing.w3c import parse_tracestate

# An id that claims to be of later than this is not one of ours: it would land in a day that does not exist yet.
ID_AHEAD = timedelta(minutes=10)

TenantIds = Callable[[str | None], int | None]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message that cannot become an event."""

    message: BusMessage
    reason: RejectReason
    detail: str
    tenant: str = ""

    def headers(self) -> list[list[str]]:
        """As JSON can hold them: a value that is not UTF-8 text is base64 behind "base64:"."""
        pairs = self.message.headers or ()
        return [[name.replace("\0", "\ufffd"), _header_text(value or b"")] for name, value in pairs]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A valid event that may still turn out to be a repeat."""

    message: BusMessage
    envelope: Envelope
    digest: UUID
    row: EventRow


def decode(message: BusMessage, schemas: SchemaSet, tenant_ids: TenantIds, now: datetime) -> Candidate | Rejection:
    """Reads and checks one message. Whoever wrote it, it is judged by the same rules as the publish API's."""
    if message.headers is None:
        return Rejection(message, RejectReason.UNREADABLE, "headers: a header's name must be UTF-8")
    try:
        envelope = parse_kafka(message.headers, message.value)
    except EnvelopeError as error:
        return Rejection(message, RejectReason.UNREADABLE, str(error))
    tenant_id = tenant_ids(envelope.tenant)
    if tenant_id is None:
        detail = f"tenant: {envelope.tenant!r} is not an active tenant"
        return Rejection(message, RejectReason.UNKNOWN_TENANT, detail, envelope.tenant or "")
    if not schemas.knows(envelope.type):
        detail = f"type: {envelope.type!r} is not a registered event type"
        return Rejection(message, RejectReason.UNKNOWN_TYPE, detail, envelope.tenant or "")
    judged = schemas.judge(envelope.type, envelope.dataschema, envelope.datacontenttype, envelope.data, envelope.tenant)
    if judged.problems:
        problems = judged.problems
        if is_v1_message(message.headers, message.value):
            problems = [in_v1_words(problem) for problem in problems]
        detail = "; ".join(str(problem) for problem in problems)
        return Rejection(message, RejectReason.INVALID, detail, envelope.tenant or "")
    return _candidate(message, envelope, tenant_id, judged.version, now)


def _candidate(message: BusMessage, envelope: Envelope, tenant_id: int, version: str, now: datetime) -> Candidate:
    event_id, envelope = _take_event_id(envelope, now)
    if not envelope.traceparent:
        envelope = _begin_trace(message, envelope)
    key = effective_idempotency_key(envelope)
    row = EventRow(
        id=event_id,
        tenant_id=tenant_id,
        type=envelope.type,
        source=envelope.source,
        subject=envelope.subject or "",
        producer_id=envelope.id,
        time=envelope.time,
        tags=",".join(envelope.tags),
        traceparent=envelope.traceparent or "",
        tracestate=parse_tracestate(state) if (state := envelope.extensions.get(TRACESTATE)) else "",
        idempotency_key=key,
        version=version,
        body=to_structured(envelope),
        kafka_partition=message.partition,
        kafka_offset=message.offset,
    )
    return Candidate(message, envelope, key_digest(envelope.tenant or "", key), row)


def _begin_trace(message: BusMessage, envelope: Envelope) -> Envelope:
    """The trace that its producer wrote beside it, else a new one; a state without a trace means nothing."""
    traceparent = given_beside(message.headers or ()) or new_trace(message.topic)
    others = {name: value for name, value in envelope.extensions.items() if name != TRACESTATE}
    return msgspec.structs.replace(envelope, traceparent=traceparent, extensions=others)


def _take_event_id(envelope: Envelope, now: datetime) -> tuple[UUID, Envelope]:
    """The id that the publish API gave, else a new one; the extension that carried it is ours and goes no further."""
    if EVENT_ID_ATTRIBUTE not in envelope.extensions:
        return new_id(), envelope
    others = {name: value for name, value in envelope.extensions.items() if name != EVENT_ID_ATTRIBUTE}
    given = _as_event_id(envelope.extensions[EVENT_ID_ATTRIBUTE], now)
    return given or new_id(), msgspec.structs.replace(envelope, extensions=others)


def _as_event_id(value: object, now: datetime) -> UUID | None:
    try:
        given = UUID(hex=str(value))
    except ValueError:
        return None
    return given if given.version == 7 and given < id_floor(now + ID_AHEAD) else None


def _header_text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode()
    # jsonb holds no NUL
    return text if "\0" not in text else "base64:" + base64.b64encode(value).decode()
