"""CloudEvents 1.0.2 in and out: HTTP structured, batch and binary mode, and the Kafka binding. Pure.

The rules are in docs/standards/events/event-bus-schema.md.
"""

from __future__ import annotations

from eventcenter.envelope.attributes import ATTRIBUTES, parse_tags, parse_traceparent
from eventcenter.envelope.binary import parse_binary, split_structured, to_binary_headers
from eventcenter.envelope.kafka import parse_kafka, to_kafka
from eventcenter.envelope.model import (
    DEFAULT_CONTENT_TYPE,
    Envelope,
    EnvelopeError,
    FieldProblem,
    canonical_text,
    effective_idempotency_key,
    partition_key,
    shown_name,
    timestamp_text,
    wire_attributes,
)
from eventcenter.envelope.payload import RefusedError, media_type
from eventcenter.envelope.structured import (
    BATCH_CONTENT_TYPE,
    STRUCTURED_CONTENT_TYPE,
    parse_batch,
    parse_structured,
    to_structured,
)

__all__ = [
    "ATTRIBUTES",
    "BATCH_CONTENT_TYPE",
    "DEFAULT_CONTENT_TYPE",
    "STRUCTURED_CONTENT_TYPE",
    "Envelope",
    "EnvelopeError",
    "FieldProblem",
    "RefusedError",
    "canonical_text",
    "effective_idempotency_key",
    "media_type",
    "parse_batch",
    "parse_binary",
    "parse_kafka",
    "parse_structured",
    "parse_tags",
    "parse_traceparent",
    "partition_key",
    "shown_name",
    "split_structured",
    "timestamp_text",
    "to_binary_headers",
    "to_kafka",
    "to_structured",
    "wire_attributes",
]
