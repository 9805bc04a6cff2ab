"""Which fields an endpoint's page has, by its channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from subscriptions.channels.base import ChannelSpec
from subscriptions.channels.registry import SPECS, spec_of
from subscriptions.forms import EndpointForm, endpoint_form
from subscriptions.forms.endpoint import params_group, settings_group
from subscriptions.models import Channel, Endpoint
from subscriptions.templating import TEMPLATES, Template

# Of the page's address.
CHANNEL = "channel"
TEMPLATE = "template"

# What the first page says of each channel.
CHANNEL_WORDS = {
    Channel.WEBHOOK: "A signed HTTP POST to a URL.",
    Channel.KAFKA: "A message in a Kafka topic, in the CloudEvents Kafka binding.",
    Channel.AMQP: "A message to a RabbitMQ exchange, published with confirms.",
    Channel.PAGERDUTY: "An alert by the Events API v2.",
    Channel.CONSOLE: "A line in the feed of this console; nothing leaves the system.",
}
SIGNING_WORDS = "By Standard Webhooks. With ed25519 the receiver needs no secret, only the public key."
LIMITS_WORDS = "What is over a limit waits; no attempt is spent."


@dataclass(frozen=True, slots=True)
class Kind:
    """One choice of the first page. `query` makes the second page's address."""

    label: str
    words: str
    query: str


def choices() -> list[Kind]:
    """Each channel; after the webhook, each of its templates."""
    found: list[Kind] = []
    for channel, spec in SPECS.items():
        found.append(Kind(channel.label, CHANNEL_WORDS[channel], urlencode({CHANNEL: channel.value})))
        if spec.takes_url:
            found += [
                Kind(f"{channel.label}: {row.label}", row.description, _query(channel, row.name))
                for row in TEMPLATES.values()
            ]
    return found


def _query(channel: Channel, template: str) -> str:
    return urlencode({CHANNEL: channel.value, TEMPLATE: template})


@dataclass(frozen=True, slots=True)
class Layout:
    spec: ChannelSpec = SPECS[Channel.WEBHOOK]
    template: Template | None = None

    @property
    def title(self) -> str:
        return str(self.template.label if self.template else self.spec.channel.label)

    def form(self) -> type[EndpointForm]:
        return endpoint_form(self.spec, self.template)

    def fieldsets(self, *, is_new: bool) -> list[tuple[str | None, dict[str, Any]]]:
        url = ("url",) if self.spec.takes_url else ()
        # A template has a form of its own.
        mode = ("content_mode",) if self.spec.content_modes and self.template is None else ()
        sets: list[tuple[str | None, dict[str, Any]]] = [(None, {"fields": ("tenant", "slug", "name", *url, *mode)})]
        if self.spec.fields:
            sets.append((self.title, {"fields": tuple(settings_group(self.spec).names)}))
        if self.spec.takes_url and (self.template or not is_new):
            names = tuple(params_group(self.template).names)
            sets.append(("Template", {"fields": names, "description": self._template_words()}))
        if self.spec.takes_url:
            signing = {"fields": ("signing", "rotate_every_days"), "description": SIGNING_WORDS}
            sets.append(("Signing", signing))
        limits = ("rate_limit", "max_in_flight", "timeout_s", "lane")
        sets.append(("Limits", {"fields": limits, "description": LIMITS_WORDS}))
        if self.spec.takes_url:
            sets.append(("Custom headers", {"fields": ("new_headers", "remove_headers")}))
        if not is_new:
            state = ("channel", "state", "state_reason", "managed_by", "created_at")
            sets.append(("State", {"fields": state}))
        return sets

    def _template_words(self) -> SafeString:
        """Which one it is, and links to the same page with another."""
        others = [("", "none"), *((row.name, row.label) for row in TEMPLATES.values())]
        current = self.template.name if self.template else ""
        queries = ((_query(self.spec.channel, name), label) for name, label in others if name != current)
        links = format_html_join(" · ", '<a href="?{}">{}</a>', queries)
        if self.template is None:
            return format_html("The CloudEvent itself is sent. Shape it for a service: {}", links)
        about = '<b>{}</b>. {} <a href="{}" rel="noreferrer">What it takes</a>. Another: {}'
        return format_html(about, self.template.label, self.template.description, self.template.docs_url, links)


def layout_of(request: HttpRequest, endpoint: Endpoint | None) -> Layout | None:
    """None when a new endpoint's channel is not chosen yet. A template in the address goes before the stored one."""
    spec = spec_of(endpoint.channel if endpoint else request.GET.get(CHANNEL, ""))
    if spec is None:
        return None
    name = request.GET.get(TEMPLATE, endpoint.template if endpoint else "")
    return Layout(spec, TEMPLATES.get(name) if spec.takes_url else None)
