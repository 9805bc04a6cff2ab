"""The event envelope as the rest of the system holds it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import datetime

import msgspec

DEFAULT_CONTENT_TYPE = "application/json"
SPEC_VERSION = "1.0"

# A refusal names every wrong field, but a hostile batch could hold hundreds of thousands of them.
MAX_PROBLEMS = 1_000
MAX_SHOWN_NAME_CHARS = 64

Scalar = str | int | bool


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One CloudEvents 1.0.2 event.

    `time` is aware and in UTC. `data` is the JSON text exactly as it was sent, without whitespace around it, when
    `datacontenttype` is a JSON type, and otherwise the payload's own bytes; empty when the event has no data.
    A parser's result obeys every rule of the standard page; who builds an Envelope by hand answers for that himself.
    """

    id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime | None = None
    datacontenttype: str = DEFAULT_CONTENT_TYPE
    dataschema: str | None = None
    tenant: str | None = None
    tags: tuple[str, ...] = ()
    traceparent: str | None = None
    idempotencykey: str | None = None
    partitionkey: str | None = None
    extensions: dict[str, Scalar] = msgspec.field(default_factory=dict)
    data: bytes = b""


@dataclasses.dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong field: where it is, and what that place takes. Never holds the value that was sent."""

    field: str
    message: str
    index: int | None = None  # the event's place in its batch, from 0

    def __str__(self) -> str:
        where = self.field if self.index is None else f"[{self.index}].{self.field}"
        return f"{where}: {self.message}"


def shown_name(name: str) -> str:
    """A name that a sender made up, fit for a problem's `field`: short and printable, so that any table takes it."""
    short = name[:MAX_SHOWN_NAME_CHARS]
    return short if short.isprintable() else ascii(short)[1:-1]


class EnvelopeError(ValueError):
    """The input is not a valid event. `problems` is never empty; `left_out` counts those over MAX_PROBLEMS."""

    def __init__(self, problems: Iterable[FieldProblem]) -> None:
        found = list(problems)
        self.problems = found[:MAX_PROBLEMS]
        self.left_out = len(found) - len(self.problems)
        super().__init__("; ".join(str(problem) for problem in self.problems[:10]))


def effective_idempotency_key(envelope: Envelope) -> str:
    """The key that makes a repeat a repeat, within one tenant: the extension, else `source`, a space, `id`.

    A URI reference holds no space, so two different (source, id) pairs never give one key.
    """
    return envelope.idempotencykey or f"{envelope.source} {envelope.id}"


def partition_key(envelope: Envelope) -> str:
    """The Kafka message key: events of one tenant about one subject stay in order."""
    return f"{envelope.tenant or ''}|{envelope.partitionkey or envelope.subject or envelope.id}"


def canonical_text(value: Scalar) -> str:
    """A value in CloudEvents' canonical string form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def timestamp_text(moment: datetime) -> str:
    """RFC 3339 with a `Z`; `moment` is in UTC."""
    return str(msgspec.to_builtins(moment))


def wire_attributes(envelope: Envelope) -> dict[str, Scalar]:
    """The set attributes in canonical order: the specification's, ours, then other extensions by name."""
    attributes: dict[str, Scalar | None] = {
        "specversion": SPEC_VERSION,
        "id": envelope.id,
        "source": envelope.source,
        "type": envelope.type,
        "subject": envelope.subject,
        "time": timestamp_text(envelope.time) if envelope.time else None,
        "datacontenttype": envelope.datacontenttype,
        "dataschema": envelope.dataschema,
        "tenant": envelope.tenant,
        "tags": ",".join(envelope.tags) or None,
        "traceparent": envelope.traceparent,
        "idempotencykey": envelope.idempotencykey,
        "partitionkey": envelope.partitionkey,
    }
    for name in sorted(envelope.extensions):
        attributes[name] = envelope.extensions[name]
    return {name: value for name, value in attributes.items() if value is not None}
