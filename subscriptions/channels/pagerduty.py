"""The PagerDuty channel: alerts by the Events API v2."""

from __future__ import annotations

import re
from collections.abc import Mapping

from subscriptions.channels.base import ChannelSpec, Field
from subscriptions.models import Channel

# "This is the 32 character Integration Key": PagerDuty developer docs, Events API v2, Send an Alert Event.
_ROUTING_KEY = re.compile(r"[A-Za-z0-9]{32}")
SEVERITIES = ("critical", "error", "warning", "info")  # the same page, payload.severity
FROM_EVENT = "event"
REGIONS = ("us", "eu")


def check_integration_key(value: str) -> str | None:
    """Never repeats the value."""
    return None if _ROUTING_KEY.fullmatch(value) else "an integration key is 32 letters and digits"


def _destination(config: Mapping[str, object]) -> str:
    return f"PagerDuty ({str(config.get('region') or 'us').upper()})"


SPEC = ChannelSpec(
    channel=Channel.PAGERDUTY,
    fields=(
        Field(
            "routing_key",
            "Integration key",
            "secret",
            help="Of an Events API v2 integration on a PagerDuty service.",
            check=check_integration_key,
        ),
        Field(
            "severity",
            "Severity",
            "choice",
            required=False,
            default=FROM_EVENT,
            help="event: the event's own data.severity, or info.",
            choices=(FROM_EVENT, *SEVERITIES),
        ),
        Field("region", "Service region", "choice", required=False, default="us", choices=REGIONS),
    ),
    destination=_destination,
)
