"""Slack: an incoming webhook, POST https://hooks.slack.com/services/T…/B…/….

Documented there: JSON with `text` (or blocks); 200 and the text "ok". A text is cut after 40,000 characters; &, < and > are
written as &amp;, &lt; and &gt;, and no other entity ("Formatting text for app surfaces"). What stands in < > is a link or
a mention, so every value of the event is escaped, and a link is only made of a URL: no release can call a whole channel.
"""

from __future__ import annotations

from subscriptions.channels.base import Field
from subscriptions.templating.catalog.common import url_rule
from subscriptions.templating.model import Template, Written

MAX_TEXT_CHARS = 40_000
DEFAULT_TEXT = (
    "{% if event.data.plugin_id and event.data.version %}"
    "*{{ event.data.plugin_id }} {{ event.data.version }}*"
    '{% if event.type == "plugin.release.published" %} was released{% else %}: {{ event.type }}{% endif %}'
    "{% if event.data.channel %} to {{ event.data.channel }}{% endif %}"
    "{% if event.tenant %} in {{ event.tenant }}{% endif %}"
    "{% if event.data.released_by %} by {{ event.data.released_by }}{% endif %}"
    '{% if event.data.severity and event.data.severity != "normal" %} ({{ event.data.severity }}){% endif %}'
    '{% assign changes = event.data.changelog_url | default: "" | web_url %}'
    "{% if changes %}\n<{{ changes }}|What changed>{% endif %}"
    "{% else %}"
    "*{{ event.type }}*{% if event.subject %} {{ event.subject }}{% endif %}"
    "{% if event.tenant %} in {{ event.tenant }}{% endif %}"
    "{% if event.data %}\n```{{ event.data | json | truncate: 2000 }}```{% endif %}"
    "{% endif %}"
)


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


SLACK = Template(
    name="slack",
    label="Slack incoming webhook",
    description="Posts a message to a channel.",
    docs_url="https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/",
    answer='200 and "ok"',
    url=url_rule(
        "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
        r"/services/T[A-Za-z0-9]+/B[A-Za-z0-9]+/[A-Za-z0-9]+",
        hosts=("hooks.slack.com", "hooks.slack-gov.com"),
        is_secret=True,  # "Keep it secret, keep it safe. Your webhook URL contains a secret" (the same page)
    ),
    fields=(
        Field(
            "text",
            "Message",
            default=DEFAULT_TEXT,
            help="In Slack's mrkdwn and the template language. Values of the event are escaped.",
        ),
    ),
    escape=escape,
    body={"text": Written("text", max_chars=MAX_TEXT_CHARS, cut=True)},
)
