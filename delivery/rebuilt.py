"""What an endpoint is sent for an event, built once more by its channel's own code, with every secret masked.

Requests are not stored. This one is of the event as it is kept and of the endpoint's settings as they are now; the secrets
are never opened but to learn which there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote_plus

from django.utils import timezone

from delivery.models import Delivery
from delivery.transports.amqp.request import AmqpMessage
from delivery.transports.base import Message, Sending
from delivery.transports.console.request import FeedMessage
from delivery.transports.kafka.request import KafkaMessage
from delivery.transports.registry import CHANNELS
from eventcenter.standardwebhooks import SIGNATURE_HEADER
from subscriptions.channels.registry import is_signed
from subscriptions.models import Channel, Endpoint, EndpointSecret, Signing
from subscriptions.routing import masked_sink
from subscriptions.templating import HOOK_URL, MASK, TemplateError
from subscriptions.webhook_rules import without_query

_MASKS = (MASK.encode(), quote_plus(MASK).encode())  # the second one in forms
HTTP_CHANNELS = (Channel.WEBHOOK, Channel.PAGERDUTY)


@dataclass(frozen=True, slots=True)
class Line:
    """A header, or a property of a message. `masked`: its value is a secret, in whole or in part."""

    name: str
    value: str
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`terms`: what a channel that is no HTTP calls its address. `problem`: why nothing can be made; then it is empty.

    `signings`: of the live secrets, "v1" or "v1a" each. `url_masked`: the whole address is longer than `where`.
    """

    channel: str
    where: str = ""
    url_masked: bool = False
    headers: Sequence[Line] = ()
    terms: Sequence[Line] = ()
    body: bytes = b""
    body_masked: bool = False
    signings: Sequence[str] = ()
    problem: str = ""

    @property
    def is_http(self) -> bool:
        return self.channel in HTTP_CHANNELS


def rebuilt(delivery: Delivery, at: datetime | None = None) -> Rebuilt:
    """`delivery` with its event, endpoint and tenant. `at`: the moment of the attempt; None: now."""
    endpoint, event = delivery.endpoint, delivery.event
    if endpoint.channel not in CHANNELS:
        return Rebuilt(endpoint.channel, problem="This channel has no sender.")
    endpoint.tenant = delivery.tenant  # in memory: a query less
    sink = masked_sink(endpoint)
    sending = Sending(
        delivery_id=delivery.pk,
        number=max(delivery.attempts, 1),
        body=bytes(event.body),
        timestamp=int((at or timezone.now()).timestamp()),
        traceparent=event.traceparent,
        replay=delivery.replays > 0,
        tracestate=event.tracestate,
    )
    try:
        message = CHANNELS[endpoint.channel].build(sink, sending)
    except (TemplateError, ValueError) as error:
        return Rebuilt(endpoint.channel, problem=f"It cannot be made of this event: {error}")
    return _shown(endpoint, message, _signings(endpoint))


def _shown(endpoint: Endpoint, message: Message, signings: Sequence[str]) -> Rebuilt:
    where = without_query(message.url) if endpoint.channel in HTTP_CHANNELS else message.url
    secret_url = HOOK_URL in (message.sink or masked_sink(endpoint)).credentials
    return Rebuilt(
        channel=endpoint.channel,
        where=where,
        url_masked=secret_url or where != message.url,
        headers=[*(Line(name, value, MASK in value) for name, value in message.headers), *_signature(signings)],
        terms=[Line(name, value) for name, value in _terms(message) if value],
        body=message.body,
        body_masked=any(mask in message.body for mask in _MASKS),
        signings=signings,
    )


def _signings(endpoint: Endpoint) -> list[str]:
    """Newest first, as they sign."""
    if not is_signed(endpoint):
        return []
    live = EndpointSecret.objects.filter(endpoint=endpoint).live(timezone.now())
    return list(live.order_by("-created_at", "-id").values_list("signing", flat=True))


def _signature(signings: Sequence[str]) -> list[Line]:
    text = " ".join(f"{Signing(signing).value},{MASK}" for signing in signings)
    return [Line(SIGNATURE_HEADER, text, masked=True)] if signings else []


def _terms(message: Message) -> list[tuple[str, str]]:
    match message:
        case KafkaMessage():
            key = message.key.decode("utf-8", "replace") if message.key else "none: spread over the partitions"
            return [("Cluster", message.cluster), ("Topic", message.topic), ("Key", key)]
        case AmqpMessage():
            return [
                ("Exchange", message.exchange or "(default)"),
                ("Routing key", message.routing_key),
                ("message-id", str(message.delivery_id)),
                ("content-type", message.content_type),
                ("type", message.event_type),
                ("delivery-mode", "persistent" if message.persistent else "transient"),
            ]
        case FeedMessage():
            return [
                ("Summary", message.summary),
                ("Severity", message.severity),
                ("Type", message.type),
                ("Subject", message.subject),
            ]
        case _:
            return []
