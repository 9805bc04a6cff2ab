"""CloudEvents 1.0.2 in and out: HTTP structured, batch and binary mode, and the Kafka binding; and the v1 JSON form. Pure.

The rules are in docs/standards/events/event-bus-schema.md.
"""

from __future__ import annotations

from eventcenter.envelope.attributes import ATTRIBUTES, parse_tags, parse_traceparent
from eventcenter.envelope.binary import parse_binary, split_structured, to_binary_headers
from eventcenter.envelope.kafka import is_v1_message, parse_kafka, to_kafka
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
from eventcenter.envelope.v1 import (
    V1_BATCH_CONTENT_TYPE,
    V1_CONTENT_TYPE,
    in_v1_words,
    parse_v1,
    parse_v1_batch,
    structured_to_v1,
    to_v1,
    v1_field,
)

__all__ = [
    "ATTRIBUTES",
    "BATCH_CONTENT_TYPE",
    "DEFAULT_CONTENT_TYPE",
    "STRUCTURED_CONTENT_TYPE",
    "V1_BATCH_CONTENT_TYPE",
    "V1_CONTENT_TYPE",
    "Envelope",
    "EnvelopeError",
    "FieldProblem",
    "RefusedError",
    "canonical_text",
    "effective_idempotency_key",
    "in_v1_words",
    "is_v1_message",
    "media_type",
    "parse_batch",
    "parse_binary",
    "parse_kafka",
    "parse_structured",
    "parse_tags",
    "parse_traceparent",
    "parse_v1",
    "parse_v1_batch",
    "partition_key",
    "shown_name",
    "split_structured",
    "structured_to_v1",
    "timestamp_text",
    "to_binary_headers",
    "to_kafka",
    "to_structured",
    "to_v1",
    "v1_field",
    "wire_attributes",
]
