"""The transport of each channel: a new channel is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from delivery.addresses import AddressPolicy
from delivery.transports.base import Transport
from delivery.transports.lanes import Limits
from delivery.transports.webhook.engine import always
from delivery.transports.webhook.handle import CurlOptions
from delivery.transports.webhook.transport import WebhookTransport
from subscriptions.models import Channel


def make_transports(may_start: Callable[[], bool] = always) -> dict[str, Transport]:
    """Fresh transports for one worker process; they start nothing while `may_start()` is false."""
    return {Channel.WEBHOOK.value: _webhook(may_start)}


def _webhook(may_start: Callable[[], bool]) -> WebhookTransport:
    options = CurlOptions(policy=AddressPolicy(settings.WEBHOOK_ALLOWED_CIDRS), ca_file=settings.WEBHOOK_CA_BUNDLE)
    per_endpoint = settings.WEBHOOK_MAX_IN_FLIGHT_PER_ENDPOINT
    limits = Limits(in_flight=settings.WEBHOOK_MAX_IN_FLIGHT, in_flight_per_endpoint=per_endpoint)
    return WebhookTransport(options, limits, may_start)
