"""Form fields made from settings as data (subscriptions.channels.base.Field): a channel's own, and a template's parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django import forms

from subscriptions.channels.base import Field
from subscriptions.channels.checks import (
    MAX_VALUE_CHARS,
    plain_number,
    split_settings,
    typed,
    with_defaults,
    without_defaults,
)

KEPT = "It is set; leave it empty to keep it."
ROW_CHARS, SHORT_ROWS, LONG_ROWS = 80, 2, 8
NO_FILL = {"autocomplete": "new-password", "spellcheck": "false"}


@dataclass(frozen=True, slots=True)
class SettingsGroup:
    """Fields whose form names begin with `prefix` and a dot. `long`: those that get a text area.

    `keeps_defaults`: what equals its default is kept, too; without it, it follows the default when that changes.
    """

    prefix: str
    fields: tuple[Field, ...] = ()
    long: frozenset[str] = frozenset()
    keeps_defaults: bool = True

    def form_name(self, field: Field) -> str:
        return f"{self.prefix}.{field.name}"

    def removal_name(self, field: Field) -> str:
        return f"remove.{field.name}"

    @property
    def names(self) -> list[str]:
        """Of all its form fields, in the order in which they are shown."""
        return list(self.declared())

    def declared(self) -> dict[str, forms.Field]:
        """For a form's class body; an optional secret has a second field that removes it."""
        made: dict[str, forms.Field] = {}
        for field in self.fields:
            made[self.form_name(field)] = form_field(field, field.name in self.long)
            if field.kind == "secret" and not field.required:
                made[self.removal_name(field)] = forms.BooleanField(label=f"Remove: {field.label}", required=False)
        return made

    def show_stored(self, form_fields: Mapping[str, forms.Field], config: Mapping[str, object], kept: set[str]) -> None:
        """What is kept now, into a form's own fields; of secrets only that there is one."""
        for field in self.fields:
            shown = form_fields[self.form_name(field)]
            if field.kind == "secret" and field.name in kept:
                shown.required = False
                shown.help_text = f"{field.help} {KEPT}".strip()
            elif field.kind == "secret" and not field.required:
                form_fields[self.removal_name(field)].widget = forms.HiddenInput()  # there is nothing to remove
            elif field.name in config:
                shown.initial = _shown(config[field.name])

    def read(
        self, cleaned: Mapping[str, object], stored: Mapping[str, str]
    ) -> tuple[dict[str, object], dict[str, str]]:
        """(config, credentials) of a form's cleaned data; secrets that were left empty are the `stored` ones."""
        values = {field.name: _plain(cleaned.get(self.form_name(field))) for field in self.fields}
        config, secrets = split_settings(self.fields, values)
        kept = {field.name: stored[field.name] for field in self._kept(cleaned) if field.name in stored}
        return self._with_defaults(config), kept | secrets

    def _with_defaults(self, config: Mapping[str, object]) -> dict[str, object]:
        plain = [field for field in self.fields if field.kind != "secret"]
        return with_defaults(plain, config) if self.keeps_defaults else without_defaults(plain, config)

    def _kept(self, cleaned: Mapping[str, object]) -> Iterator[Field]:
        secrets = (field for field in self.fields if field.kind == "secret")
        return (field for field in secrets if not cleaned.get(self.removal_name(field)))


def form_field(field: Field, is_long: bool = False) -> forms.Field:
    """A value is checked once more by subscriptions.channels.checks, which files and REST share."""
    initial = typed(field, field.default) if field.default else None
    match field.kind:
        case "choice":
            blank = [] if field.required or field.default else [("", "–")]
            choices = [*blank, *((choice, choice) for choice in field.choices)]
            return forms.ChoiceField(
                label=field.label, required=field.required, help_text=field.help, initial=initial, choices=choices
            )
        case "number":
            return forms.FloatField(label=field.label, required=field.required, help_text=field.help, initial=initial)
        case "boolean":
            return forms.BooleanField(label=field.label, required=False, help_text=field.help, initial=initial)
        case _:
            return forms.CharField(
                label=field.label,
                required=field.required,
                help_text=field.help,
                initial=initial,
                max_length=MAX_VALUE_CHARS,
                strip=field.kind != "secret",
                widget=_widget(field, is_long),
            )


def _widget(field: Field, is_long: bool) -> forms.Widget:
    if field.kind == "secret":
        return forms.PasswordInput(attrs={"class": "vTextField", **NO_FILL})
    if is_long:
        rows = SHORT_ROWS if field.default and len(field.default) <= ROW_CHARS else LONG_ROWS
        return forms.Textarea(attrs={"class": "vLargeTextField", "rows": rows, "spellcheck": "false"})
    return forms.TextInput(attrs={"class": "vTextField", "spellcheck": "false"})


def _shown(value: object) -> object:
    """A file may write a template's document as YAML; people see it as JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict | list) else value


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value.replace("\r\n", "\n")  # browsers send text areas so
    return plain_number(value) if isinstance(value, float) else value
