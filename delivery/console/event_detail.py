"""What an event's page shows besides its plan: attributes, payload, the schema that judged it, when it was where."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.conf import settings

from delivery.console.payload import Shown, shown
from eventcenter import registry
from eventcenter.envelope import EnvelopeError, canonical_text, parse_structured, wire_attributes
from eventcenter.ids import id_time
from eventcenter.models import Event, EventType
from eventcenter.tracing.w3c import trace_id_of


@dataclass(frozen=True, slots=True)
class Judged:
    """By which version of its type's schema. `named`: the event says so; else it was the newest one of then.

    `is_later`: that version was made or changed after the event came, so it may have been judged by another text.
    """

    version: EventType | None
    named: bool
    is_later: bool = False

    @property
    def schema(self) -> str:
        return json.dumps(self.version.schema, indent=2, ensure_ascii=False) if self.version else ""


def context_of(event: Event) -> dict[str, object]:
    """One query."""
    body = bytes(event.body)
    attributes, payload, dataschema = _read(body)
    return {
        "attributes": attributes,
        "payload": payload,
        "body_bytes": len(body),
        "judged": _judged(event, dataschema),
        "accepted_at": id_time(event.pk),
        "trace_id": trace_id_of(event.traceparent),
        "topic": settings.KAFKA_EVENTS_TOPIC,
    }


def _read(body: bytes) -> tuple[list[tuple[str, str]], Shown, str | None]:
    """What cannot be read as an event is shown as it stands."""
    try:
        envelope = parse_structured(body)
    except EnvelopeError:
        return [], shown(body), None
    attributes = [(name, canonical_text(value)) for name, value in wire_attributes(envelope).items()]
    return attributes, shown(envelope.data), envelope.dataschema


def _judged(event: Event, dataschema: str | None) -> Judged:
    number = registry.schemas.get().version_for(event.type, dataschema)
    version = EventType.objects.filter(name=event.type, version=number).first() if number else None
    return Judged(version, dataschema is not None, bool(version and version.updated_at > event.ingested_at))
