"""PagerDuty: Events API v2, POST https://events.pagerduty.com/v2/enqueue.

Documented under "Send an Alert Event": routing_key (32 characters), event_action (trigger, acknowledge, resolve), dedup_key
(at most 255), payload.summary (at most 1,024), payload.source, payload.severity (critical, error, warning, info); links have
an href. An event is at most 512 KB; the answer is 202.
"""

from __future__ import annotations

from subscriptions.channels.base import Field
from subscriptions.templating.catalog.common import matches, url_rule
from subscriptions.templating.model import Template, Written

MAX_SUMMARY_CHARS = 1024
MAX_BODY_BYTES = 512 * 1000  # 512 KB, by the smaller reading
DEFAULT_SUMMARY = (
    "{% if event.data.plugin_id and event.data.version %}{{ event.data.plugin_id }} {{ event.data.version }}: {% endif %}"
    "{{ event.type }}{% if event.tenant %} in {{ event.tenant }}{% endif %}"
)
_SEVERITY = (
    "{% case event.data.severity %}"
    "{% when 'critical' %}critical"
    "{% when 'security' %}error"
    "{% when 'important' %}warning"
    "{% else %}{{ params.severity }}"
    "{% endcase %}"
)

PAGERDUTY = Template(
    name="pagerduty",
    label="PagerDuty Events API v2",
    description="Opens an alert for each event; the same event never opens two.",
    docs_url="https://developer.pagerduty.com/docs/send-alert-event",
    answer="202",
    url=url_rule(
        "https://events.pagerduty.com/v2/enqueue",
        "/v2/enqueue",
        hosts=("events.pagerduty.com", "events.eu.pagerduty.com"),
    ),
    fields=(
        Field(
            "routing_key",
            "Integration key",
            kind="secret",
            help="Of an Events API v2 integration of the service; 32 characters.",
            check=matches("[A-Za-z0-9]{32}", "an integration key has 32 letters and digits"),
        ),
        Field("summary", "Summary", default=DEFAULT_SUMMARY, help="The alert's title; cut after 1,024 characters."),
        Field(
            "severity",
            "Severity",
            kind="choice",
            choices=("critical", "error", "warning", "info"),
            default="info",
            help="For events that name none of critical, security (error) and important (warning) themselves.",
        ),
    ),
    headers=(("accept", "application/json"),),
    max_body_bytes=MAX_BODY_BYTES,
    body={
        "routing_key": "{{ secrets.routing_key }}",
        "event_action": "trigger",
        # An event's id is at most 512 characters; most are 36.
        "dedup_key": "{{ event.id | slice: 0, 255 }}",
        "client": "Event Center",
        "links": [
            {
                "$when": "{{ event.data.changelog_url | default: '' | web_url }}",
                "href": "{{ event.data.changelog_url }}",
                "text": "What changed",
            }
        ],
        "payload": {
            "summary": Written("summary", max_chars=MAX_SUMMARY_CHARS, cut=True),
            "source": "{{ event.source }}",
            "severity": _SEVERITY,
            "timestamp": "{{ event.time | default: omit }}",
            "component": "{{ event.data.plugin_id | default: omit | text }}",
            "group": "{{ event.tenant | default: omit }}",
            "class": "{{ event.type }}",
            "custom_details": {
                "event_id": "{{ event.id }}",
                "subject": "{{ event.subject | default: omit }}",
                "data": "{{ event.data | default: omit }}",
            },
        },
    },
)
