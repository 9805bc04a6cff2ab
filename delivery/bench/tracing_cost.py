"""What a delivery's trace costs a worker: off, and on with an exporter that takes everything at once."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from delivery import spans
from delivery.outcome import Outcome, OutcomeKind
from delivery.results import Verdict
from delivery.states import DeliveryStatus
from delivery.store import Loaded
from delivery.worker.held import Batch, Held
from eventcenter.ids import new_id
from eventcenter.tracing import switch, w3c
from eventcenter.tracing.export import SdkRecording
from subscriptions.retry_policy import DEFAULT_POLICY

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-1] + "0"
ROUNDS = 7


class Nowhere(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def measure() -> dict[str, float]:
    """What is measured → µs each; the best of ROUNDS."""
    was, costs = switch.recording(), {}
    switch.use(None)
    costs["off, a delivery"] = _best(lambda: spans.outgoing(SAMPLED))
    costs["off, an event that begins a trace"] = _best(w3c.new_traceparent)
    recording = SdkRecording(BatchSpanProcessor(Nowhere()), "bench")
    switch.use(recording)
    results = [_result()]
    costs["on, a delivery whose trace is not sampled"] = _best(lambda: spans.outgoing(UNSAMPLED))
    costs["on, a sampled delivery, on the thread that prepares it"] = _best(lambda: spans.outgoing(SAMPLED))
    costs["on, a sampled delivery, on the thread that recorded it"] = _best(lambda: spans.note_attempts(results), 3_000)
    switch.use(was)
    recording.close()
    return costs


def _best(call: Callable[[], object], times: int = 20_000) -> float:
    return min(timeit.repeat(call, number=times, repeat=ROUNDS)) / times * 1e6


def _result() -> tuple[Held, Outcome, Verdict]:
    loaded = Loaded(new_id(), 1, 1, DeliveryStatus.PENDING, 0, 0, 0, datetime.now(UTC), b"{}", SAMPLED, 1)
    held = Held(Batch(1, 1, 1), loaded, DEFAULT_POLICY, span_id=w3c.new_span_id(), channel="webhook")
    outcome = Outcome(
        OutcomeKind.DELIVERED, 204, started_at=time.time(), duration_ms=3.0, remote_address="192.0.2.1:443"
    )
    return held, outcome, Verdict(DeliveryStatus.DELIVERED)
