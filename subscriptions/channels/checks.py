"""Whether settings fit their fields, in words that repeat no value. Pure; for forms, the file and REST."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from subscriptions.channels.base import ChannelSpec, Field

MAX_VALUE_CHARS = 4000

Values = Mapping[str, object]
TRUTHS = {"true": True, "false": False}


def check_settings(spec: ChannelSpec, config: Values, credentials: Values) -> dict[str, str]:
    """Setting → what is wrong with it; empty when all are right. `credentials` are the secret ones, `config` the others."""
    known = ", ".join(field.name for field in spec.fields) or "none"
    secrets = {field.name for field in spec.fields if field.kind == "secret"}
    plain = {field.name for field in spec.fields} - secrets
    problems = {
        name: f"is not a setting of this channel; those are: {known}"
        for name in [*(config.keys() - plain), *(credentials.keys() - secrets)]
    }
    values = {**config, **credentials}
    found = {field.name: check_field(field, values.get(field.name)) for field in spec.fields}
    return problems | {name: problem for name, problem in found.items() if problem}


def check_field(field: Field, value: object) -> str | None:
    """None when the value may be kept. Text that is empty, or nothing at all, counts as not set."""
    if value is None or value == "":
        return "is missing" if field.required else None
    problem = _check_kind(field, value)
    if problem or field.check is None:
        return problem
    return field.check(as_text(value))


def split_settings(fields: Sequence[Field], values: Values) -> tuple[dict[str, object], dict[str, str]]:
    """(config, credentials). What is not set is left out; what no field knows stays in config for `check_settings` to name."""
    secrets = {field.name for field in fields if field.kind == "secret"}
    given = {name: value for name, value in values.items() if value is not None and value != ""}
    config = {name: value for name, value in given.items() if name not in secrets}
    return config, {name: as_text(value) for name, value in given.items() if name in secrets}


def with_defaults(fields: Sequence[Field], values: Values) -> dict[str, object]:
    """The values, and the default of each field that has one and is not set."""
    absent = [field for field in fields if field.default and values.get(field.name) in (None, "")]
    return dict(values) | {field.name: typed(field, field.default) for field in absent}


def without_defaults(fields: Sequence[Field], values: Values) -> dict[str, object]:
    """The values that differ from their field's default: what is left out follows the default when that changes."""
    defaults = {field.name: typed(field, field.default) for field in fields if field.default}
    return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}


def typed(field: Field, text: str) -> object:
    """Text as the field's kind keeps it; text that is not of that kind comes back as it is, for `check_field` to refuse."""
    if field.kind == "boolean":
        return TRUTHS.get(text.lower(), text)
    if field.kind == "number":
        try:
            return plain_number(float(text))
        except ValueError:
            return text
    return text


def plain_number(number: float) -> int | float:
    """5.0 is kept as 5: most numbers are ports and counts."""
    return int(number) if math.isfinite(number) and number == int(number) else number


def as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_kind(field: Field, value: object) -> str | None:
    if field.kind == "number":
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return None if good else "takes a number"
    if field.kind == "boolean":
        return None if isinstance(value, bool) else "takes true or false"
    if not isinstance(value, str):
        return "takes text"
    if "\0" in value or len(value) > MAX_VALUE_CHARS:
        return f"takes text of at most {MAX_VALUE_CHARS} characters"
    if field.kind == "choice" and value not in field.choices:
        return f"takes one of {', '.join(field.choices)}"
    return None
