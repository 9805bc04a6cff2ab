"""The Kafka binding: binary mode with `ce_` headers, and structured mode. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from eventcenter.envelope.attributes import build_envelope
from eventcenter.envelope.binary import checked_body
from eventcenter.envelope.model import (
    DEFAULT_CONTENT_TYPE,
    Envelope,
    EnvelopeError,
    FieldProblem,
    canonical_text,
    shown_name,
    wire_attributes,
)
from eventcenter.envelope.structured import STRUCTURED_CONTENT_TYPE, parse_structured
from eventcenter.envelope.v1 import V1_CONTENT_TYPE, looks_like_v1, parse_v1

KAFKA_PREFIX = "ce_"
_PREFIX_CHARS = len(KAFKA_PREFIX)

KafkaHeaders = Sequence[tuple[str, bytes | None]]


def parse_kafka(headers: KafkaHeaders | None, value: bytes | None) -> Envelope:
    """The event of a Kafka message, in either mode or as v1. Raises EnvelopeError when it is not one.

    A message with no `ce_` header and no `content-type` is read as structured JSON, which the binding lets a sender
    leave unmarked.
    """
    problems: list[FieldProblem] = []
    attributes, content_type = _read_headers(headers or (), problems)
    body = value or b""
    if not attributes and _is_v1(content_type, body):
        return parse_v1(body)
    if content_type is None:
        if not attributes and not problems:
            return parse_structured(body)
    elif content_type.lower().startswith("application/cloudevents"):
        return _parse_structured_as(content_type, body)
    else:
        attributes["datacontenttype"] = content_type
    data = checked_body(attributes, body, problems)
    return build_envelope(attributes, data, problems, from_bus=True)


def is_v1_message(headers: KafkaHeaders | None, value: bytes | None) -> bool:
    """Whether parse_kafka reads it as v1: told by its content-type, or without `ce_` headers by its shape."""
    attributes, content_type = _read_headers(headers or (), [])
    return not attributes and _is_v1(content_type, value or b"")


def _is_v1(content_type: str | None, body: bytes) -> bool:
    media = (content_type or "").partition(";")[0].strip().lower()
    return media == V1_CONTENT_TYPE or (media in ("", DEFAULT_CONTENT_TYPE) and looks_like_v1(body))


def _read_headers(headers: KafkaHeaders, problems: list[FieldProblem]) -> tuple[dict[str, object], str | None]:
    """The attributes by name and the content type; a header with no value is unset.

    A byte that is not UTF-8 becomes a lone surrogate, which no attribute takes.
    """
    attributes: dict[str, object] = {}
    content_type: str | None = None
    for header, raw in headers:
        if raw is None:
            continue
        if header.startswith(KAFKA_PREFIX):
            name = header[_PREFIX_CHARS:]
            if name in attributes:
                problems.append(FieldProblem(shown_name(name), "must stand only once in the event"))
            attributes[name] = raw.decode("utf-8", "surrogateescape")
        elif header.lower() == "content-type":
            content_type = raw.decode("utf-8", "surrogateescape") or None
    if attributes.pop("datacontenttype", None) is not None:
        problems.append(FieldProblem("datacontenttype", "must be given by the content-type header in binary mode"))
    return attributes, content_type


def _parse_structured_as(content_type: str, body: bytes) -> Envelope:
    if content_type.partition(";")[0].strip().lower() != STRUCTURED_CONTENT_TYPE:
        message = f"must be {STRUCTURED_CONTENT_TYPE}, or the data's own media type in binary mode"
        raise EnvelopeError([FieldProblem("content-type", message)])
    return parse_structured(body)


def to_kafka(envelope: Envelope) -> tuple[list[tuple[str, bytes]], bytes]:
    """Binary mode: the headers in canonical order and the value. The key is `partition_key`."""
    attributes = wire_attributes(envelope)
    content_type = str(attributes.pop("datacontenttype"))
    headers = [(KAFKA_PREFIX + name, canonical_text(value).encode()) for name, value in attributes.items()]
    headers.append(("content-type", content_type.encode()))
    return headers, envelope.data
