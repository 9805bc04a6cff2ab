"""Every channel's settings. A new channel is one module and one line here (its transport: delivery.transports.registry)."""

from __future__ import annotations

from subscriptions.channels import amqp, console, kafka, pagerduty, webhook
from subscriptions.channels.base import ChannelSpec
from subscriptions.models import Channel, Endpoint
from subscriptions.webhook_rules import without_query

SPECS: dict[Channel, ChannelSpec] = {
    Channel.WEBHOOK: webhook.SPEC,
    Channel.KAFKA: kafka.SPEC,
    Channel.AMQP: amqp.SPEC,
    Channel.PAGERDUTY: pagerduty.SPEC,
    Channel.CONSOLE: console.SPEC,
}


def spec_of(channel: str) -> ChannelSpec | None:
    """None when it is no channel."""
    return SPECS[Channel(channel)] if channel in Channel.values and Channel(channel) in SPECS else None


def destination_of(endpoint: Endpoint) -> str:
    """Where its deliveries go, in words for people who may see it; of a URL without its query, where a token may be."""
    spec = spec_of(endpoint.channel)
    if spec is None or spec.takes_url:
        return without_query(endpoint.url)
    return spec.destination(endpoint.config)


def is_signed(endpoint: Endpoint) -> bool:
    """Whether it needs signing secrets: HTTP receivers check signatures, brokers and the feed have logins of their own."""
    spec = spec_of(endpoint.channel)
    return spec is not None and spec.takes_url
