"""From an endpoint's settings and an event to the AMQP message. Pure but for the settings.

The form is the CloudEvents AMQP protocol binding, carried into AMQP 0-9-1 as RabbitMQ maps it: application-properties are the
message's headers. Attributes are prefixed `cloudEvents_`, which the binding prefers to `cloudEvents:` because JMS knows no
colons; values are in canonical string form. Our own headers have no prefix: they are not the event's.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from delivery.transports.base import Message, Sending
from eventcenter.envelope import STRUCTURED_CONTENT_TYPE, V1_CONTENT_TYPE, canonical_text, structured_to_v1
from eventcenter.envelope.structured import split_members
from subscriptions.channels.amqp import fill_routing_key
from subscriptions.models import ContentMode
from subscriptions.routing import Sink

PREFIX = "cloudEvents_"
REPLAY_HEADER = "event-center-replay"


@dataclass(slots=True)
class AmqpMessage(Message):
    """`url` is for people and holds no secret. The message-id is the delivery's id, the same over retries and replays."""

    exchange: str = ""
    routing_key: str = ""
    content_type: str = ""
    event_type: str = ""
    persistent: bool = True


def build(sink: Sink, sending: Sending) -> AmqpMessage:
    """The channel's Build."""
    attributes, data = split_members(sending.body)
    text = {name: canonical_text(value) for name, value in attributes.items()}
    content_type, headers, body = _form(sink, sending.body, text, data)
    headers += sending.trace_headers
    if sending.replay:
        headers.append((REPLAY_HEADER, "true"))
    exchange, pattern = str(sink.config.get("exchange") or ""), str(sink.config.get("routing_key") or "")
    places = {"type": text["type"], "subject": text.get("subject", ""), "tenant": sink.tenant}
    routing_key = fill_routing_key(pattern, places)
    return AmqpMessage(
        delivery_id=sending.delivery_id,
        endpoint_id=sink.endpoint_id,
        number=sending.number,
        url=f"amqp exchange {exchange or '(default)'}, key {routing_key}",
        headers=headers,
        body=body,
        timeout_s=min(sink.timeout_s, settings.WEBHOOK_MAX_TIMEOUT_S),
        context=sending.context,
        sink=sink,
        exchange=exchange,
        routing_key=routing_key,
        content_type=content_type,
        event_type=text["type"],
        persistent=sink.config.get("persistent", True) not in (False, "false"),
    )


def _form(sink: Sink, structured: bytes, text: dict[str, str], data: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    """The content type, the headers and the body of the endpoint's form; a tenant that still has v1 gets that."""
    if sink.envelope_v1:
        return f"{V1_CONTENT_TYPE}; charset=utf-8", [], structured_to_v1(structured)
    if sink.content_mode != ContentMode.BINARY:
        return f"{STRUCTURED_CONTENT_TYPE}; charset=utf-8", [], structured
    headers = [(PREFIX + name, value) for name, value in text.items() if name != "datacontenttype"]
    return text["datacontenttype"], headers, data
