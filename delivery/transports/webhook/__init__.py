"""Signed HTTP POSTs to subscribers, by libcurl."""

from __future__ import annotations

from delivery.transports.lanes import Limits
from delivery.transports.webhook.handle import CurlOptions
from delivery.transports.webhook.request import ContentMode, Target, build_message, make_target
from delivery.transports.webhook.transport import WebhookTransport

__all__ = [
    "ContentMode",
    "CurlOptions",
    "Limits",
    "Target",
    "WebhookTransport",
    "build_message",
    "make_target",
]
