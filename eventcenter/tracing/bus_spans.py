"""The bus in a trace: the span of a message on its way out, and the context that lies beside it for who reads it.

A message carries two contexts. `ce_traceparent` is the event's own and never changes (CloudEvents, distributed tracing
extension). `traceparent` is the hop's, as OpenTelemetry's instrumentations of Kafka clients write and read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from opentelemetry.trace import Span, SpanKind

from eventcenter.envelope import parse_traceparent
from eventcenter.tracing import names, spans, switch, w3c
from eventcenter.tracing.w3c import TraceContext

HOP_HEADER = "traceparent"
EVENT_HEADER = "ce_traceparent"

Headers = Sequence[tuple[str, bytes]]


def trace_of(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """The event's trace id, for log lines about one message; "" without one."""
    return w3c.trace_id_of(_read(headers, EVENT_HEADER))


def sending(event_id: UUID, topic: str, headers: Headers) -> tuple[Headers, Span | None]:
    """The headers to send, and the span that the acknowledgement ends (spans.end)."""
    if not switch.is_on():
        return headers, None
    parent = w3c.parse(_read(headers, EVENT_HEADER))
    if parent is None:
        return headers, None
    attributes = spans.bus_attributes(topic, "send") | {names.MESSAGING_ID: str(event_id)}
    span = spans.begin(f"send {topic}", SpanKind.PRODUCER, parent, attributes)
    if span is None or not span.is_recording():
        return headers, None
    return [*headers, (HOP_HEADER, spans.context_of(span).text().encode())], span


def given_beside(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """The hop's context, where a producer wrote one and its event has none."""
    return _read(headers, HOP_HEADER)


def parent_of(event: str, headers: Iterable[tuple[str, bytes | None]]) -> TraceContext | None:
    """Where the span of a read message hangs: below the hop's span when that is in the event's trace, else the event's."""
    own, hop = w3c.parse(event), w3c.parse(_read(headers, HOP_HEADER))
    return hop if hop is not None and own is not None and hop.trace_id == own.trace_id else own


def _read(headers: Iterable[tuple[str, bytes | None]], name: str) -> str | None:
    for header, value in headers:
        if header == name and value:
            return parse_traceparent(value.decode("ascii", "replace"))
    return None
