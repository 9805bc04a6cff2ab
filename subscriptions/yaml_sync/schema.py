"""The file's JSON Schema (2020-12), for editors and for CI. Made from the rules that the reader itself uses.

It tells structure: keys, kinds, choices, lengths, ranges. What a text means (a URL, a topic, a filled-in variable, a template
that renders) only `sync_subscriptions --dry-run` can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audit.trail import PLATFORM_CHAIN
from subscriptions.channels.base import ChannelSpec
from subscriptions.channels.base import Field as Setting
from subscriptions.channels.registry import SPECS
from subscriptions.checks import MAX_TAGS, MAX_TYPES
from subscriptions.models import MAX_IN_FLIGHT, MAX_RATE_PER_S, MIN_RATE_PER_S, Channel, ContentMode, Lane, Ordering
from subscriptions.templating import TEMPLATES, Template
from subscriptions.webhook_rules import MAX_HEADERS
from subscriptions.yaml_sync.endpoint import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, MIN_TIMEOUT_S, WEBHOOK_KEYS
from subscriptions.yaml_sync.schema_parts import (
    Schema,
    array,
    choice,
    defs,
    described,
    integer,
    number,
    objects,
    optional,
    reference,
    text,
)
from subscriptions.yaml_sync.spec import MAX_NAME_CHARS, VERSION

DRAFT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:event-center:subscriptions-file:1"
NOTHING: Schema = {"type": "null"}
# What a deployment, not the format, decides.
OPEN_CHOICES = {(Channel.KAFKA, "cluster")}

RATE = "requests a second; without it there is no limit"
FILLED = "${NAME} is filled in from the environment."


def file_schema() -> Schema:
    properties = {
        "version": described({"const": VERSION}, "The version of this format."),
        "tenants": optional(array(reference("tenant")), "Whose events and endpoints these are."),
    }
    whole = objects(properties, required=["version"])
    about = "Who gets which events. See docs/guides/subscriptions-file.md."
    own = {"tenant": _tenant(), "endpoint": _endpoint(), "subscription": _subscription()}
    return {
        "$schema": DRAFT,
        "$id": ID,
        "title": "Event Center subscriptions file",
        "description": about,
        **whole,
        "$defs": own | defs(),
    }


def _tenant() -> Schema:
    name = text(max_chars=MAX_NAME_CHARS)
    return objects(
        {
            "slug": described(reference("slug"), "The `tenant` attribute of its events.")
            | {"not": {"const": PLATFORM_CHAIN}},
            "name": optional(name, "For people; without it the slug."),
            "rate_limit": optional(number(MIN_RATE_PER_S, MAX_RATE_PER_S), f"Over all of its endpoints, {RATE}."),
            "endpoints": optional(array(reference("endpoint")), "Where its events may go."),
        },
        required=["slug"],
    )


def _endpoint() -> Schema:
    schema = objects(_endpoint_properties(), required=["slug"])
    return schema | {"allOf": [_of_channel(spec) for spec in SPECS.values()] + _of_templates()}


def _endpoint_properties() -> dict[str, Schema]:
    timeout = f"Seconds from sending to the answer's last byte; without it {DEFAULT_TIMEOUT_S:g}."
    lane = "slow: for receivers that take seconds, they get workers of their own; without it fast."
    headers = {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": MAX_HEADERS}
    anything: Schema = {"type": "object"}
    channels, templates = [channel.value for channel in SPECS], list(TEMPLATES)
    return {
        "slug": described(reference("slug"), "Its name within the tenant, in paths and pages."),
        "name": optional(text(max_chars=MAX_NAME_CHARS), "For people."),
        "channel": optional(choice(channels), "How it is reached; without it webhook."),
        "url": optional({"type": "string"}, f"Of a webhook: where its requests go. {FILLED}"),
        "headers": optional(headers, f"Of a webhook: sent with each request, kept sealed. {FILLED}"),
        "template": optional(choice(templates), "Of a webhook: shapes the request for a service."),
        "template_params": optional(anything, f"What the template asks for. {FILLED}"),
        "settings": optional(anything, f"What the channel asks for. {FILLED}"),
        "content_mode": optional(
            choice(ContentMode.values), "binary: attributes as headers, data as the body; without it structured."
        ),
        "timeout_s": optional(number(MIN_TIMEOUT_S, MAX_TIMEOUT_S), timeout),
        "lane": optional(choice(Lane.values), lane),
        "rate_limit": optional(number(MIN_RATE_PER_S, MAX_RATE_PER_S), f"What is over it waits: {RATE}."),
        "max_in_flight": optional(
            integer(1, MAX_IN_FLIGHT), "Requests at once over all workers; without it each worker's own default."
        ),
        "subscriptions": optional(array(reference("subscription")), "Which events go there."),
    }


def _subscription() -> Schema:
    types = array(reference("type"), least=1, most=MAX_TYPES, unique=True)
    tags = array(reference("tag"), most=MAX_TAGS, unique=True)
    ordering = (
        "Whether deliveries wait for the one before them. block: a dead one stops its key; skip: it is passed over."
    )
    return objects(
        {
            "slug": described(reference("slug"), "Its name within the tenant."),
            "types": described(types, "Event types, exact or everything below a prefix: plugin.release.*"),
            "tags": optional(tags, "The event has at least one of them; without it any event."),
            "filters": optional(array(reference("filter")), "CloudEvents Subscriptions filters; all must hold."),
            "retry_policy": optional(reference("retry_policy"), "How failures are tried again; without it standard."),
            "ordering": optional(choice(Ordering.values), ordering),
            "active": optional({"type": "boolean"}, "false: it takes no events; without it true."),
        },
        required=["slug", "types"],
    )


def _of_channel(spec: ChannelSpec) -> Schema:
    """What holds when the endpoint has this channel."""
    channel = spec.channel.value
    settings = _settings(spec.fields, {name for kind, name in OPEN_CHOICES if kind is spec.channel})
    then: dict[str, object] = {"properties": {"settings": settings}}
    if any(field.required and not field.default for field in spec.fields):
        then["required"] = ["settings"]
    if spec.takes_url:
        then["properties"] = {"settings": settings, "url": {"type": "string"}}
        then["required"] = ["url"]
    else:
        refused = [*WEBHOOK_KEYS, *([] if spec.content_modes else ["content_mode"])]
        then["properties"] = {"settings": settings} | {key: NOTHING for key in refused}
    is_named: Schema = {"properties": {"channel": {"const": channel}}, "required": ["channel"]}
    if spec.channel is Channel.WEBHOOK:
        is_named = {"properties": {"channel": {"enum": [channel, None]}}}
    return {"if": is_named, "then": then}


def _of_templates() -> list[Schema]:
    found: list[Schema] = []
    for name, template in TEMPLATES.items():
        then: dict[str, object] = {"properties": {"template_params": _params(template)}}
        if any(field.required and not field.default for field in template.fields):
            then["required"] = ["template_params"]
        named = {"properties": {"template": {"const": name}}, "required": ["template"]}
        found.append({"if": named, "then": then})
    unnamed = {"properties": {"template": NOTHING}}
    return [*found, {"if": unnamed, "then": {"properties": {"template_params": NOTHING}}}]


def _settings(fields: Sequence[Setting], open_choices: set[str]) -> Schema:
    kinds = {field.name: _setting(field, field.name in open_choices) for field in fields}
    return _group(fields, kinds)


def _params(template: Template) -> Schema:
    kinds = {field.name: _param(field, field.name in template.long_fields) for field in template.fields}
    return _group(template.fields, kinds)


def _group(fields: Sequence[Setting], kinds: Mapping[str, Schema]) -> Schema:
    needed = [field.name for field in fields if field.required and not field.default]
    properties = {
        field.name: described(kinds[field.name], field.help or field.label)
        if field.name in needed
        else optional(kinds[field.name], field.help or field.label)
        for field in fields
    }
    group = objects(properties, required=needed)
    return group if needed else {**group, "type": ["object", "null"]}


def _setting(field: Setting, is_open: bool) -> Schema:
    if field.kind == "choice" and not is_open:
        return {"anyOf": [choice(field.choices), reference("variable")]}
    if field.kind in ("number", "boolean"):
        return {"anyOf": [{"type": field.kind}, reference("variable")]}
    return text(1 if _is_needed(field) else 0)


def _param(field: Setting, is_written: bool) -> Schema:
    """In the template language: a text or a document. Else a single value."""
    least = 1 if _is_needed(field) else 0
    if field.kind == "secret":
        return text(least)
    if field.choices:
        return {"anyOf": [choice(field.choices), reference("variable")]}
    kinds = ["string", "object", "array"] if is_written else ["string", "number", "boolean"]
    return {"type": kinds} | ({"minLength": 1} if least else {})


def _is_needed(field: Setting) -> bool:
    return field.required and not field.default
