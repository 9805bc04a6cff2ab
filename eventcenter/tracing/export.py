"""The OpenTelemetry SDK: loaded by `switch.start` where tracing is on, and by nothing else.

The sampler, the resource, the batches and the exporter read the standard OTEL_* variables themselves.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler
from opentelemetry.trace import Tracer

from eventcenter.tracing import spans
from eventcenter.tracing.w3c import TraceContext

logger = logging.getLogger(__name__)

SERVICE = "event-center"
LIBRARY = "event_center"
# A collector that is away is asked again so seldom; what comes meanwhile is dropped, not kept.
ASK_AGAIN_S = 15.0
# A stopping process waits so long for its last spans to be taken.
CLOSE_S = 3.0


class GivenIds(RandomIdGenerator):
    """A span that is made after the fact has the id that its receiver was told."""

    def __init__(self) -> None:
        self._next = threading.local()

    def give(self, span_id: int) -> None:
        self._next.span_id = span_id

    def generate_span_id(self) -> int:
        given = self._next.__dict__.pop("span_id", None)
        return super().generate_span_id() if given is None else int(given)


class PatientExporter(SpanExporter):
    """While the collector does not take spans they are dropped, it is asked now and then, and the log has a line for each
    change. The exporter's own lines, one a batch and with the collector's address, are not wanted."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._away = False
        self._ask_at = 0.0
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        logging.getLogger("opentelemetry.sdk").setLevel(logging.ERROR)  # "queue full" is no news then

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        now = time.monotonic()
        if now < self._ask_at:
            return SpanExportResult.FAILURE
        result = self._inner.export(spans)
        taken = result is SpanExportResult.SUCCESS
        self._ask_at = 0.0 if taken else now + ASK_AGAIN_S
        if taken and self._away:
            logger.info("tracing.collector_back")
        elif not taken and not self._away:
            logger.warning("tracing.collector_away", extra={"dropped": len(spans), "asked_again_s": ASK_AGAIN_S})
        self._away = not taken
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class SdkRecording:
    """switch.Recording by the SDK. `sampler` None: the one that the environment names."""

    def __init__(self, processor: SpanProcessor, role: str, sampler: Sampler | None = None) -> None:
        self._ids = GivenIds()
        self._provider = TracerProvider(sampler=sampler, resource=resource(role), id_generator=self._ids)
        self._provider.add_span_processor(processor)
        self._processor = processor
        self.tracer: Tracer = self._provider.get_tracer(LIBRARY)

    def records(self, parent: TraceContext) -> bool:
        sampler = self._provider.sampler
        if isinstance(sampler, ParentBased):
            return parent.sampled
        asked = sampler.should_sample(spans.below(parent), parent.trace_id, LIBRARY)
        return bool(asked.decision.is_sampled())  # type: ignore[no-untyped-call]

    def with_id(self, span_id: int) -> None:
        self._ids.give(span_id)

    def close(self) -> None:
        """Waits CLOSE_S for the collector; the SDK's own wait is half a minute."""
        closing = threading.Thread(target=self._provider.shutdown, name="tracing-close", daemon=True)
        closing.start()
        closing.join(CLOSE_S)


def recording_from_environment(role: str) -> SdkRecording:
    """To the collector that OTEL_EXPORTER_OTLP_ENDPOINT, or the one for traces, names."""
    return SdkRecording(BatchSpanProcessor(PatientExporter(OTLPSpanExporter())), role)


def resource(role: str) -> Resource:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go first."""
    ours = {
        "service.name": SERVICE,
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        "event_center.role": role,
    }
    return Resource(ours).merge(_given())


def _given() -> Resource:
    """What the SDK makes of the environment, without its own name for a service that has none."""
    found = Resource.create()
    unnamed = str(found.attributes.get("service.name", "")).startswith("unknown_service")
    kept = {name: value for name, value in found.attributes.items() if not (unnamed and name == "service.name")}
    return Resource(kept, found.schema_url)
