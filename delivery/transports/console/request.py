"""From an endpoint and an event to a line of the feed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from delivery.transports.base import Message, Sending
from delivery.transports.brief import DEFAULT_SEVERITY, brief_of
from subscriptions.channels.console import FROM_EVENT
from subscriptions.routing import Sink

MAX_SUMMARY_CHARS = 500
TIMEOUT_S = 10.0


@dataclass(slots=True)
class FeedMessage(Message):
    """One line; the event itself stays where it is."""

    tenant_id: int = 0
    type: str = ""
    subject: str = ""
    severity: str = DEFAULT_SEVERITY
    summary: str = ""


def build(sink: Sink, sending: Sending) -> FeedMessage:
    """The channel's Build."""
    brief, chosen = brief_of(sending.body), sink.config.get("severity")
    return FeedMessage(
        delivery_id=sending.delivery_id,
        endpoint_id=sink.endpoint_id,
        number=sending.number,
        url="the console's feed",
        headers=(),
        body=b"",
        timeout_s=TIMEOUT_S,
        context=sending.context,
        sink=sink,
        tenant_id=sink.tenant_id,
        type=brief.attribute("type"),
        subject=brief.attribute("subject"),
        severity=brief.severity if chosen in (None, FROM_EVENT) else str(chosen),
        summary=brief.summary[:MAX_SUMMARY_CHARS],
    )
