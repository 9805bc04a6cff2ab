"""Deliveries in their event's trace: what the receiver is told, and the spans of ingest, attempts and replays.

An attempt's span is made when its result has been recorded, off the threads that send: before it only an id is drawn, and
only where the event's trace is sampled. Spans hold ids, numbers and words of ours: no payload, header, URL or error text.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from opentelemetry.trace import SpanKind

from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.planning import PlannedDelivery
from delivery.results import Verdict
from delivery.worker.held import Held
from eventcenter.decode import Candidate
from eventcenter.tracing import bus_spans, names, spans, switch, w3c
from eventcenter.tracing.w3c import TraceContext
from subscriptions.models import Channel

logger = logging.getLogger(__name__)


def outgoing(traceparent: str) -> tuple[str, int]:
    """The traceparent that the receiver gets, and the span id in it: the event's trace, below the attempt's own span
    where there will be one. Else the event's own context, and 0."""
    made = switch.recording()
    if made is None:
        return traceparent, 0
    parent = w3c.parse(traceparent)
    if parent is None or not parent.sampled or not made.records(parent):
        return traceparent, 0
    span_id = w3c.new_span_id()
    return TraceContext(parent.trace_id, span_id, True).text(), span_id


def note_attempts(results: Iterable[tuple[Held, Outcome, Verdict]]) -> None:
    """A span for each result whose attempt has an id. What was only held had nobody told of its id, and has none.

    Raises nothing: what was recorded must not be recorded again because its spans could not be made.
    """
    try:
        for held, outcome, verdict in results:
            if held.span_id and (outcome.started_at or outcome.spends_attempt):
                _note_attempt(held, outcome, verdict)
    except Exception:  # of a package that is not ours, after the commit
        logger.exception("spans.attempts_not_noted")


def _note_attempt(held: Held, outcome: Outcome, verdict: Verdict) -> None:
    loaded = held.loaded
    parent = w3c.parse(loaded.traceparent)
    began = int(outcome.started_at * 1e9) or time.time_ns()
    replay = [_replay_context(parent, loaded.id, loaded.replays)] if parent and held.replay else []
    spans.record(
        names.DELIVERY_SEND,
        SpanKind.CLIENT,
        parent,
        (began, began + int(outcome.duration_ms * 1e6)),
        _attempt_attributes(held, outcome, verdict),
        span_id=held.span_id,
        links=replay,
        error=error_type(outcome),
    )


def _attempt_attributes(held: Held, outcome: Outcome, verdict: Verdict) -> dict[str, spans.Value]:
    loaded = held.loaded
    found: dict[str, spans.Value] = {
        names.DELIVERY_ID: str(loaded.id),
        names.ENDPOINT_ID: loaded.endpoint_id,
        names.SUBSCRIPTION_ID: loaded.subscription_id,
        names.TENANT_ID: loaded.tenant_id,
        names.CHANNEL: held.channel,
        names.ATTEMPT: held.number,
        names.ROUND: loaded.replays,
        names.OUTCOME: outcome.kind.value,
        names.DELIVERY_STATUS: verdict.status.value,
    }
    if verdict.retry_at is not None:
        found[names.NEXT_ATTEMPT_AT] = verdict.retry_at.isoformat()
    if held.channel == Channel.WEBHOOK:
        found[names.HTTP_METHOD] = "POST"
        found[names.HTTP_RESEND] = held.number - 1
    if outcome.status_code is not None:
        found[names.HTTP_STATUS] = outcome.status_code
    address, _, port = outcome.remote_address.rpartition(":")
    if address and port.isdecimal():
        found[names.PEER_ADDRESS] = address.strip("[]")
        found[names.PEER_PORT] = int(port)
    return found


def error_type(outcome: Outcome) -> str:
    """HTTP's own: the status as text; where none decided, our word for the error. "" when it was delivered."""
    if outcome.kind is OutcomeKind.DELIVERED:
        return ""
    if outcome.status_code is not None and outcome.error_kind in (ErrorKind.HTTP_STATUS, ErrorKind.REDIRECT):
        return str(outcome.status_code)
    return outcome.error_kind.value or outcome.kind.value


class Planning(NamedTuple):
    """The events that a batch stored, the deliveries that they came to, and when that was worked out."""

    events: Sequence[Candidate]
    planned: Sequence[PlannedDelivery]
    began_ns: int
    ended_ns: int


def note_ingest(planning: Planning, batch: int, began_ns: int) -> None:
    """After the transaction: for each event that it stored, how it was processed and, within that, planned.

    `batch`: how many messages were taken together; their spans share its times. Raises nothing, as note_attempts.
    """
    try:
        _note_ingest(planning, batch, began_ns)
    except Exception:
        logger.exception("spans.ingest_not_noted")


def _note_ingest(planning: Planning, batch: int, began_ns: int) -> None:
    ended_ns, counts = time.time_ns(), Counter(row.event_id for row in planning.planned)
    for item in planning.events:
        row, message = item.row, item.message
        parent = bus_spans.parent_of(row.traceparent, message.headers or ())
        attributes = spans.bus_attributes(message.topic, "process") | {
            names.MESSAGING_ID: row.producer_id,
            names.MESSAGING_BATCH: batch,
            names.MESSAGING_PARTITION: str(message.partition),
            names.MESSAGING_OFFSET: message.offset,
            names.EVENT_ID: str(row.id),
            names.EVENT_TYPE: row.type,
            names.TENANT_ID: row.tenant_id,
        }
        name = f"process {message.topic}"
        process = spans.record(name, SpanKind.CONSUMER, parent, (began_ns, ended_ns), attributes)
        own: dict[str, spans.Value] = {names.EVENT_ID: str(row.id), names.DELIVERIES: counts[row.id]}
        spans.record(names.PLAN, SpanKind.INTERNAL, process, (planning.began_ns, planning.ended_ns), own)


def note_replays(replayed: Iterable[tuple[UUID, int, str]], cause: TraceContext | None) -> None:
    """(delivery, its round, its event's traceparent) of what begins a new round: a span in the event's trace, to which the
    new attempts link. `cause`: the request that asked for it, in a trace of its own."""
    if not switch.is_on():
        return
    now = time.time_ns()
    for delivery_id, round_number, traceparent in replayed:
        parent = w3c.parse(traceparent)
        if parent is not None:
            spans.record(
                names.DELIVERY_REPLAY,
                SpanKind.INTERNAL,
                parent,
                (now, now),
                {names.DELIVERY_ID: str(delivery_id), names.ROUND: round_number},
                span_id=replay_span_id(delivery_id, round_number),
                links=[cause] if cause else [],
            )


def replay_span_id(delivery_id: UUID, round_number: int) -> int:
    """Derived, so that a worker can link to it and a hint carries nothing more: 8 bytes of BLAKE2b over both."""
    text = f"{delivery_id}/{round_number}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) or 1


def _replay_context(parent: TraceContext, delivery_id: UUID, round_number: int) -> TraceContext:
    return TraceContext(parent.trace_id, replay_span_id(delivery_id, round_number), True)
