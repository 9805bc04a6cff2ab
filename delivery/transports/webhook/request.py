"""From an endpoint's settings and an event to the Message that goes out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from delivery.transports.base import Message
from eventcenter.envelope import split_structured
from eventcenter.standardwebhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from subscriptions.webhook_rules import is_reserved

STRUCTURED_CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
REPLAY_HEADER = "x-event-center-replay"
DEFAULT_TIMEOUT_S = 15.0


class ContentMode(StrEnum):
    """CloudEvents HTTP binding: the whole event in the body, or its data in the body and the rest in headers."""

    STRUCTURED = "structured"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as the wire needs it, made once and used for many messages; see `make_target`."""

    endpoint_id: int
    url: str
    secrets: tuple[bytes, ...]
    mode: ContentMode
    timeout_s: float
    custom_headers: tuple[tuple[str, str], ...]


def make_target(
    *,
    endpoint_id: int,
    url: str,
    secrets: Sequence[bytes],
    mode: ContentMode = ContentMode.STRUCTURED,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    custom_headers: Iterable[tuple[str, str]] = (),
) -> Target:
    """`secrets`: the live ones, newest first; each adds a signature. Reserved custom headers are left out."""
    kept = tuple((name, value) for name, value in custom_headers if not is_reserved(name))
    return Target(endpoint_id, url, tuple(secrets), mode, timeout_s, kept)


def build_message(
    target: Target,
    *,
    delivery_id: UUID,
    number: int,
    body: bytes,
    timestamp: int,
    traceparent: str = "",
    replay: bool = False,
    context: object = None,
) -> Message:
    """One attempt. `body` is the event in canonical structured JSON, `timestamp` epoch seconds now.

    `webhook-id` is the delivery's id, the same over retries and replays.
    """
    content_type = STRUCTURED_CONTENT_TYPE
    attributes: Sequence[tuple[str, str]] = ()
    if target.mode is ContentMode.BINARY:
        attributes, content_type, body = split_structured(body)
    webhook_id = str(delivery_id)
    headers = [
        (ID_HEADER, webhook_id),
        (TIMESTAMP_HEADER, str(timestamp)),
        ("content-type", content_type),
        *attributes,
        *target.custom_headers,
    ]
    if target.secrets:
        headers.append((SIGNATURE_HEADER, sign(target.secrets, webhook_id, timestamp, body)))
    if traceparent:
        headers.append(("traceparent", traceparent))
    if replay:
        headers.append((REPLAY_HEADER, "true"))
    return Message(delivery_id, target.endpoint_id, number, target.url, headers, body, target.timeout_s, context)
