"""The webhook channel: an HTTP POST to Endpoint.url, signed by Standard Webhooks. Its other settings are the endpoint's own."""

from __future__ import annotations

from subscriptions.channels.base import ChannelSpec
from subscriptions.models import Channel

SPEC = ChannelSpec(channel=Channel.WEBHOOK, takes_url=True, content_modes=True)
