"""From an endpoint's settings and an event to PagerDuty's trigger. Pure but for the settings.

Fields and limits: PagerDuty developer docs, Events API v2, "Send an Alert Event" (routing_key, event_action, dedup_key of at
most 255 characters, payload.summary of at most 1024, source, severity, timestamp, component, group, class, custom_details,
links) and "Events API v2 Overview".
"""

from __future__ import annotations

import json

from django.conf import settings

from delivery.transports.base import Message, Sending
from delivery.transports.brief import Brief, brief_of
from subscriptions.channels.pagerduty import FROM_EVENT
from subscriptions.routing import Sink

URLS = {"us": "https://events.pagerduty.com/v2/enqueue", "eu": "https://events.eu.pagerduty.com/v2/enqueue"}
MAX_SUMMARY_CHARS = 1024
CLIENT = "Event Center"
ATTRIBUTES_SHOWN = ("id", "source", "type", "subject", "tenant", "tags")
LINK_FIELDS = (("url", "Open"), ("release_notes_url", "Release notes"), ("changelog_url", "Changelog"))


def build(sink: Sink, sending: Sending) -> Message:
    """The channel's Build. The body holds the integration key: it goes into no log."""
    brief = brief_of(sending.body)
    region = str(sink.config.get("region") or "us")
    return Message(
        delivery_id=sending.delivery_id,
        endpoint_id=sink.endpoint_id,
        number=sending.number,
        url=settings.PAGERDUTY_EVENTS_URL or URLS.get(region, URLS["us"]),
        headers=[("content-type", "application/json")],
        body=json.dumps(trigger(sink, sending, brief)).encode(),
        timeout_s=min(sink.timeout_s, settings.WEBHOOK_MAX_TIMEOUT_S),
        context=sending.context,
        sink=sink,
    )


def trigger(sink: Sink, sending: Sending, brief: Brief) -> dict[str, object]:
    """The request's JSON. The dedup_key is the delivery's id: retries and replays meet the alert that the first try made."""
    chosen = str(sink.config.get("severity") or FROM_EVENT)
    payload: dict[str, object] = {
        "summary": (brief.summary or brief.attribute("id"))[:MAX_SUMMARY_CHARS],
        "source": brief.attribute("source"),
        "severity": brief.severity if chosen == FROM_EVENT else chosen,
        "timestamp": brief.attribute("time"),
        "component": brief.attribute("subject"),
        "group": brief.attribute("tenant"),
        "class": brief.attribute("type"),
        "custom_details": {
            **{name: brief.attribute(name) for name in ATTRIBUTES_SHOWN if brief.attribute(name)},
            "delivery_id": str(sending.delivery_id),
            "replay": sending.replay,
            "data": dict(brief.data),
        },
    }
    return {
        "routing_key": sink.credentials.get("routing_key", ""),
        "event_action": "trigger",
        "dedup_key": str(sending.delivery_id),
        "client": CLIENT,
        "payload": {name: value for name, value in payload.items() if value != ""},
        "links": _links(brief),
    }


def _links(brief: Brief) -> list[dict[str, str]]:
    found = ((brief.data.get(name), text) for name, text in LINK_FIELDS)
    return [{"href": url, "text": text} for url, text in found if isinstance(url, str) and url.startswith("https://")]
