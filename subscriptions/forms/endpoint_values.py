"""The endpoint form for programs: plain values instead of what a browser sends, by the same rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from subscriptions.channels.base import ChannelSpec, Field
from subscriptions.channels.checks import check_field, typed
from subscriptions.channels.registry import SPECS, spec_of
from subscriptions.forms.endpoint import EndpointForm, endpoint_form
from subscriptions.forms.problems import Found, problems_of
from subscriptions.forms.settings import SettingsGroup
from subscriptions.models import Channel, Endpoint
from subscriptions.templating import TEMPLATES, Template
from subscriptions.webhook_rules import check_header

COLUMNS = (
    "slug",
    "name",
    "url",
    "content_mode",
    "timeout_s",
    "lane",
    "rate_limit",
    "max_in_flight",
    "signing",
    "rotate_every_days",
)
# Judged here; what the form says of them is for the page that it stands on.
HEADERS = {"new_headers": "headers", "remove_headers": "headers"}
Values = Mapping[str, Any]


class EndpointValues:
    """`values` are named as the API names them; those that are left out stay as they are.

    `settings` and `template_params` are merged: null takes a value away. `headers` replace all; null or {} removes them.
    Secrets among them are kept sealed and never read back.
    """

    def __init__(self, row: Endpoint, values: Values) -> None:
        self._row, self._values = row, values
        self._spec = spec_of(values.get("channel", row.channel)) or SPECS[Channel.WEBHOOK]
        self._template = TEMPLATES.get(values.get("template", row.template)) if self._spec.takes_url else None
        self.form = self._made()

    def save(self) -> Endpoint:
        return self.form.save()

    def problems(self) -> Found:
        """Empty: it may be saved. What was found before the form is not said again."""
        found = list(self._own_problems())
        named = {name for name, _ in found} | {"headers"}
        return found + [item for item in problems_of(self.form, HEADERS) if item[0] not in named]

    # --- Form data ---

    def _made(self) -> EndpointForm:
        data = self._data()
        form = endpoint_form(self._spec, self._template)(data, instance=self._row)
        if not self._spec.takes_url:
            del form.fields["url"]
        for name in form._meta.fields or ():
            before = form.initial.get(name)
            data.setdefault(name, "" if before is None else before)
        return form

    def _data(self) -> dict[str, object]:
        given = {name: self._values[name] for name in COLUMNS if name in self._values}
        data: dict[str, object] = {name: "" if value is None else value for name, value in given.items()}
        data["tenant"] = self._row.tenant_id
        data |= _group_data(self._group("settings"), self._row.config, self._values.get("settings"))
        same = self._row.template == (self._template.name if self._template else "")
        stored = self._row.template_params if same else {}
        data |= _group_data(self._group("template_params"), stored, self._values.get("template_params"))
        headers = self._values.get("headers", ...)
        if headers is not ...:
            data["new_headers"] = "\n".join(f"{name}: {value}" for name, value in (headers or {}).items())
            data["remove_headers"] = not headers
        return data

    def _group(self, name: str) -> SettingsGroup:
        if name == "settings":
            return SettingsGroup(name, self._spec.fields)
        return SettingsGroup(name, self._template.fields if self._template else ())

    # --- What a form cannot see ---

    def _own_problems(self) -> Iterator[tuple[str, str]]:
        yield from _channel_problems(self._row, self._values, self._spec)
        yield from _value_problems("settings", self._spec.fields, self._values.get("settings"))
        yield from _params_problems(self._template, self._values.get("template_params"))
        for name, value in (self._values.get("headers") or {}).items():
            problem = check_header(name, value)
            if problem:
                yield f"headers.{name}", problem


def _group_data(group: SettingsGroup, stored: Values, changes: Values | None) -> dict[str, object]:
    """Of secrets what is given; of the others what there is then, or the default that a browser's form would show. A form
    reads a document as text."""
    found: dict[str, object] = {}
    for field in group.fields:
        value = (changes or {}).get(field.name, ... if field.kind == "secret" else stored.get(field.name))
        if value is None and field.default:
            value = typed(field, field.default)
        if value is None and field.kind == "secret":
            found[group.removal_name(field)] = True
        elif value is not None and value is not ...:
            found[group.form_name(field)] = json.dumps(value) if isinstance(value, dict | list) else value
    return found


def _channel_problems(row: Endpoint, values: Values, spec: ChannelSpec) -> Iterator[tuple[str, str]]:
    if "channel" in values and row.pk and values["channel"] != row.channel:
        yield "channel", "stays what it was: past deliveries went by it; make another endpoint"
    template = values.get("template")
    if template and template not in TEMPLATES:
        yield "template", f"takes one of {', '.join(TEMPLATES)}, or nothing"
    if not spec.takes_url:
        for name in ("url", "headers", "template", "template_params"):
            if values.get(name):
                yield name, f"is for webhooks; the channel {spec.channel.value} has settings"


def _value_problems(group: str, fields: Sequence[Field], values: Values | None) -> Iterator[tuple[str, str]]:
    """Names that no field has, and values of another kind than the form would make of them."""
    by_name = {field.name: field for field in fields}
    for name, value in (values or {}).items():
        if name not in by_name:
            yield f"{group}.{name}", f"is not known; takes {', '.join(by_name) or 'nothing'}"
        elif value is None and by_name[name].required and not by_name[name].default:
            yield f"{group}.{name}", "is required: it can be changed, but not taken away"
        elif value is not None:
            problem = check_field(by_name[name], value)
            if problem:
                yield f"{group}.{name}", problem


def _params_problems(template: Template | None, values: Values | None) -> Iterator[tuple[str, str]]:
    """A text in the template language may be written as the document itself."""
    long = template.long_fields if template else frozenset()
    plain = {
        name: value for name, value in (values or {}).items() if not (name in long and isinstance(value, dict | list))
    }
    yield from _value_problems("template_params", template.fields if template else (), plain)
