"""From an endpoint's settings and an event to the Kafka message. Pure but for the settings.

The form is the CloudEvents Kafka protocol binding 1.0.2: binary mode has `ce_` headers, `content-type` and the data as the
value; structured mode the whole event as the value. A tenant that still has v1 gets that as the value. Our own headers
have no `ce_`: they are not the event's.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from delivery.transports.base import Message, Sending
from eventcenter.envelope import STRUCTURED_CONTENT_TYPE, V1_CONTENT_TYPE, canonical_text, structured_to_v1
from eventcenter.envelope.kafka import KAFKA_PREFIX
from eventcenter.envelope.model import Scalar
from eventcenter.envelope.structured import split_members
from subscriptions.models import ContentMode
from subscriptions.routing import Sink

DELIVERY_ID_HEADER = "event-center-delivery-id"  # the same over retries and replays: what a consumer drops repeats by
REPLAY_HEADER = "event-center-replay"


@dataclass(slots=True)
class KafkaMessage(Message):
    """`url` is for people; `key` None lets the producer spread the messages."""

    cluster: str = ""
    topic: str = ""
    key: bytes | None = None


def build(sink: Sink, sending: Sending) -> KafkaMessage:
    """The channel's Build."""
    attributes, data = split_members(sending.body)
    headers, body = _form(sink, sending.body, attributes, data)
    headers.append((DELIVERY_ID_HEADER, str(sending.delivery_id)))
    headers += sending.trace_headers
    if sending.replay:
        headers.append((REPLAY_HEADER, "true"))
    cluster, topic = str(sink.config.get("cluster") or "bus"), str(sink.config.get("topic") or "")
    return KafkaMessage(
        delivery_id=sending.delivery_id,
        endpoint_id=sink.endpoint_id,
        number=sending.number,
        url=f"kafka://{cluster}/{topic}",
        headers=headers,
        body=body,
        timeout_s=min(sink.timeout_s, settings.WEBHOOK_MAX_TIMEOUT_S),
        context=sending.context,
        sink=sink,
        cluster=cluster,
        topic=topic,
        key=_key(str(sink.config.get("key") or "partition"), attributes),
    )


def _form(
    sink: Sink, structured: bytes, attributes: dict[str, Scalar], data: bytes
) -> tuple[list[tuple[str, str]], bytes]:
    """The headers and the value of the endpoint's form."""
    if sink.envelope_v1:
        return [("content-type", f"{V1_CONTENT_TYPE}; charset=utf-8")], structured_to_v1(structured)
    if sink.content_mode != ContentMode.BINARY:
        return [("content-type", f"{STRUCTURED_CONTENT_TYPE}; charset=utf-8")], structured
    headers = [
        (KAFKA_PREFIX + name, canonical_text(value)) for name, value in attributes.items() if name != "datacontenttype"
    ]
    return [*headers, ("content-type", str(attributes["datacontenttype"]))], data


def _key(choice: str, attributes: dict[str, Scalar]) -> bytes | None:
    """Within a tenant's own topic the tenant says nothing, so the key leaves it out."""
    names = {"partition": ("partitionkey", "subject", "id"), "subject": ("subject",)}.get(choice, ())
    return next((str(attributes[name]).encode() for name in names if attributes.get(name)), None)
