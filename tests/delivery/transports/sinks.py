"""Sinks and sendings as the runner gives them to a channel's Build."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

from delivery.outcome import Outcome
from delivery.transports.base import Message, Sending, Transport
from subscriptions.routing import Sink
from tests.fakes.inbox import Outcomes

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DATA = {"plugin_id": "payments-gateway", "version": "2.4.1"}


def make_sink(channel: str, **changes: object) -> Sink:
    """`config`, `credentials` and any other field of Sink."""
    values: dict[str, object] = {
        "endpoint_id": 7,
        "tenant_id": 1,
        "tenant": "acme",
        "slug": "sink",
        "channel": channel,
        "url": "",
        "content_mode": "structured",
        "headers": (),
        "secrets": (),
        "timeout_s": 10.0,
        "state": "enabled",
    }
    return Sink(**{**values, **changes})  # type: ignore[arg-type]


def event_body(data: object = DATA, **attributes: object) -> bytes:
    """Canonical structured JSON, as deliveries store it."""
    event = {
        "specversion": "1.0",
        "id": "release-1",
        "source": "/pipelines/release",
        "type": "plugin.release.published",
        "subject": "payments-gateway",
        "time": "2026-01-01T12:00:00Z",
        "datacontenttype": "application/json",
        "tenant": "acme",
        **attributes,
    }
    return json.dumps({**event, "data": data}, separators=(",", ":")).encode()


def make_sending(body: bytes | None = None, *, delivery_id: UUID | None = None, replay: bool = False) -> Sending:
    return Sending(
        delivery_id=delivery_id or uuid4(),
        number=1,
        body=body or event_body(),
        timestamp=1_800_000_000,
        traceparent=TRACEPARENT,
        replay=replay,
    )


def send_one(transport: Transport, message: Message, timeout: float = 20.0) -> Outcome:
    outcomes = Outcomes()
    transport.send([message], outcomes.record)
    return outcomes.of(message, timeout)
