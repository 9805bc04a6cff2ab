"""Tracing within the test's own process: the SDK as production uses it, with the spans kept in a list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from eventcenter.tracing import switch
from eventcenter.tracing.export import SdkRecording


class Recorded:
    """The finished spans, oldest first."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]


@contextmanager
def recorded(sampler: Sampler | None = None) -> Iterator[Recorded]:
    """`sampler` None: the default, which follows the parent and takes every new trace."""
    exporter = InMemorySpanExporter()
    recording = SdkRecording(SimpleSpanProcessor(exporter), "test", sampler)
    switch.use(recording)
    try:
        yield Recorded(exporter)
    finally:
        switch.use(None)
        recording.close()


def context(span: ReadableSpan) -> tuple[str, str]:
    """(trace id, span id) in hex."""
    found = span.get_span_context()
    assert found is not None
    return f"{found.trace_id:032x}", f"{found.span_id:016x}"


def parent_id(span: ReadableSpan) -> str:
    return f"{span.parent.span_id:016x}" if span.parent else ""
