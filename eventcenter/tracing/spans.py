"""Making spans. Every function here does nothing, and gives nothing, where tracing is off or the trace is not sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from eventcenter.tracing import names, switch, w3c
from eventcenter.tracing.w3c import TraceContext

Value = str | int | bool
ROOT = Context()


def below(parent: TraceContext | None) -> Context:
    """The OpenTelemetry context whose current span is `parent`; without one, an empty context: never the thread's own."""
    return ROOT if parent is None else set_span_in_context(NonRecordingSpan(_remote(parent)), ROOT)


def _remote(at: TraceContext) -> SpanContext:
    return SpanContext(at.trace_id, at.span_id, is_remote=True, trace_flags=TraceFlags(int(at.sampled)))


def context_of(span: Span) -> TraceContext:
    own = span.get_span_context()
    return TraceContext(own.trace_id, own.span_id, bool(own.trace_flags & w3c.SAMPLED))


def begin(
    name: str,
    kind: SpanKind,
    parent: TraceContext | None,
    attributes: Mapping[str, Value],
    links: Sequence[TraceContext] = (),
) -> Span | None:
    """A span that begins now; somebody ends it. Without a parent the sampler decides whether it is recorded, and the span
    is there either way: its context is the trace that begins here."""
    made = switch.recording()
    if made is None or (parent is not None and not parent.sampled):
        return None
    return made.tracer.start_span(name, below(parent), kind, attributes, _links(links))


def end(span: Span | None, error: str = "") -> None:
    """`error`: its type in a word, "" when all went well."""
    if span is None:
        return
    if error:
        span.set_attribute(names.ERROR_TYPE, error)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def record(
    name: str,
    kind: SpanKind,
    parent: TraceContext | None,
    times_ns: tuple[int, int],
    attributes: Mapping[str, Value],
    *,
    span_id: int = 0,
    links: Sequence[TraceContext] = (),
    error: str = "",
) -> TraceContext | None:
    """A span of what is over, from and to epoch nanoseconds. `span_id` 0: a new one. Returns its context."""
    made = switch.recording()
    if made is None or parent is None or not parent.sampled:
        return None
    if span_id:
        made.with_id(span_id)
    began, ended = times_ns
    span = made.tracer.start_span(name, below(parent), kind, attributes, _links(links), began)
    if error:
        span.set_attribute(names.ERROR_TYPE, error)
        span.set_status(Status(StatusCode.ERROR))
    span.end(max(ended, began))
    return context_of(span)


def _links(to: Sequence[TraceContext]) -> list[Link]:
    return [Link(_remote(each)) for each in to]


def bus_attributes(topic: str, operation: str) -> dict[str, Value]:
    """Of a span about a message on the bus; `operation` is create, send or process."""
    return {
        names.MESSAGING_SYSTEM: "kafka",
        names.MESSAGING_DESTINATION: topic,
        names.MESSAGING_OPERATION: operation,
        names.MESSAGING_TYPE: operation,
    }


def new_trace(topic: str, came_from: TraceContext | None = None) -> str:
    """The traceparent of an event that has none: a trace of its own, with a link to what made it."""
    if not switch.is_on():
        return w3c.new_traceparent()
    links = [came_from] if came_from else []
    span = begin(f"create {topic}", SpanKind.PRODUCER, None, bus_attributes(topic, "create"), links)
    if span is None:
        return w3c.new_traceparent()
    span.end()
    return context_of(span).text()
