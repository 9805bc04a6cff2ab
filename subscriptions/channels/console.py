"""The console channel: a line in the ops console's feed. Nothing leaves the system."""

from __future__ import annotations

from subscriptions.channels.base import ChannelSpec, Field
from subscriptions.models import Channel

FROM_EVENT = "event"
SEVERITIES = ("critical", "error", "warning", "info")  # delivery.models.FeedItem.severity

SPEC = ChannelSpec(
    channel=Channel.CONSOLE,
    fields=(
        Field(
            "severity",
            "Severity",
            "choice",
            required=False,
            default=FROM_EVENT,
            help="Of its lines in the feed. event: the event's own data.severity, or info.",
            choices=(FROM_EVENT, *SEVERITIES),
        ),
    ),
    destination=lambda _: "the ops console's feed",
)
