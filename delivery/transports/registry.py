"""The parts of each channel: how a message is built, and what sends it. A new channel is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from delivery.addresses import AddressPolicy
from delivery.transports.amqp import request as amqp_request
from delivery.transports.amqp import transport as amqp
from delivery.transports.base import Build, Gate, Transport
from delivery.transports.console import request as console_request
from delivery.transports.console import transport as console
from delivery.transports.kafka import request as kafka_request
from delivery.transports.kafka import transport as kafka
from delivery.transports.lanes import Limits
from delivery.transports.pagerduty import request as pagerduty_request
from delivery.transports.pagerduty import transport as pagerduty
from delivery.transports.webhook import request as webhook_request
from delivery.transports.webhook.handle import CurlOptions
from delivery.transports.webhook.transport import WebhookTransport
from subscriptions.models import Channel


@dataclass(frozen=True, slots=True)
class ChannelParts:
    """`build` makes the Message of one try; `make` a transport that starts nothing before its first `send`."""

    build: Build
    make: Callable[[Gate], Transport]


def make_transports(gate: Gate) -> dict[str, Transport]:
    """Fresh transports for one worker process, by channel; all of them heed `gate`."""
    return {channel: parts.make(gate) for channel, parts in CHANNELS.items()}


def _limits() -> Limits:
    per_endpoint = settings.WEBHOOK_MAX_IN_FLIGHT_PER_ENDPOINT
    return Limits(in_flight=settings.WEBHOOK_MAX_IN_FLIGHT, in_flight_per_endpoint=per_endpoint)


def _webhook(gate: Gate) -> Transport:
    options = CurlOptions(policy=AddressPolicy(settings.WEBHOOK_ALLOWED_CIDRS), ca_file=settings.WEBHOOK_CA_BUNDLE)
    return WebhookTransport(options, _limits(), gate)


CHANNELS: dict[str, ChannelParts] = {
    Channel.WEBHOOK.value: ChannelParts(webhook_request.build, _webhook),
    Channel.KAFKA.value: ChannelParts(kafka_request.build, kafka.transport),
    Channel.AMQP.value: ChannelParts(amqp_request.build, amqp.transport),
    Channel.CONSOLE.value: ChannelParts(console_request.build, console.transport),
    Channel.PAGERDUTY.value: ChannelParts(pagerduty_request.build, pagerduty.transport),
}
