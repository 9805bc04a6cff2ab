"""Custom: the mapping is written by the endpoint's admin, in the language of the other templates."""

from __future__ import annotations

from subscriptions.channels.base import Field
from subscriptions.templating.catalog.common import header_secret, matches
from subscriptions.templating.model import BodyKind, Template, UrlRule, Written

CUSTOM = Template(
    name="custom",
    label="Custom",
    description="Any JSON or form, by a mapping of your own.",
    docs_url="https://shopify.github.io/liquid/",
    answer="any 2xx",
    url=UrlRule("https://hooks.example.com/anything", lambda _: None),
    kind=None,
    fields=(
        Field("mapping", "Mapping", help='A JSON document, e.g. {"text": "{{ event.data.plugin_id }}"}.'),
        Field(
            "kind",
            "Body",
            kind="choice",
            choices=(BodyKind.JSON.value, BodyKind.FORM.value),
            default=BodyKind.JSON.value,
        ),
        Field(
            "content_type",
            "Content-Type",
            required=False,
            help="When it is not application/json, or not application/x-www-form-urlencoded for a form.",
            check=matches(r"[a-z0-9.+-]+/[a-z0-9.+-]+(?:; ?[a-z-]+=[A-Za-z0-9.-]+)*", "this is no media type"),
        ),
        Field(
            "accept",
            "Accept",
            required=False,
            check=matches(r"[a-z0-9.+*-]+/[a-z0-9.+*-]+(?:; ?[a-z-]+=[A-Za-z0-9.-]+)*", "this is no media type"),
        ),
        Field(
            "secret",
            "Secret",
            kind="secret",
            required=False,
            help="For the mapping, as {{ secrets.secret }}.",
            check=header_secret,
        ),
    ),
    headers=(("accept", "{{ params.accept }}"),),
    body=Written("mapping", is_document=True),
)
