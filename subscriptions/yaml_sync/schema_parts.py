"""Pieces of JSON Schema, and those that several places share. Pure.

A key that may be left out may also be null, as in YAML where nothing follows the colon.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from eventcenter.envelope.attributes import MAX_TEXT_CHARS
from subscriptions.checks import MAX_TAG_CHARS, MAX_TYPE_CHARS
from subscriptions.filters import MAX_NAME_CHARS as MAX_ATTRIBUTE_CHARS
from subscriptions.models import SLUG
from subscriptions.retry_policy import (
    GONE_STATUS,
    MAX_ATTEMPTS,
    MAX_MAX_AGE_S,
    MAX_WAIT_S,
    MIN_MAX_AGE_S,
    NAMED_POLICIES,
    THROTTLING_STATUSES,
)

Schema = dict[str, object]

# As subscriptions.durations reads it; \s and \d are written out, for they mean more in some languages.
_PART = r"[0-9]+(\.[0-9]+)?[ \t]*([dD]|[hH]|[mM][iI][nN]|[mM]|[sS])"
DURATION = rf"^[ \t]*([0-9]+(\.[0-9]+)?|{_PART}([ \t]*{_PART})*)[ \t]*$"


def described(schema: Schema, description: str) -> Schema:
    return {"description": description, **schema}


def optional(schema: Schema, description: str) -> Schema:
    """Null, too, stands for "not set"."""
    kind, choices = schema.get("type"), schema.get("enum")
    if isinstance(choices, list):
        return described({**schema, "enum": [*choices, None]}, description)
    if isinstance(kind, str | list):
        kinds = [kind] if isinstance(kind, str) else kind
        return described({**schema, "type": [*kinds, "null"]}, description)
    return described({"anyOf": [schema, {"type": "null"}]}, description)


def objects(properties: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": dict(properties), **needed, "additionalProperties": False}


def array(items: Schema, least: int = 0, most: int = 0, unique: bool = False) -> Schema:
    found: Schema = {"type": "array", "items": items}
    found |= {"minItems": least} if least else {}
    found |= {"maxItems": most} if most else {}
    return found | ({"uniqueItems": True} if unique else {})


def text(min_chars: int = 0, max_chars: int = 0, pattern: str = "") -> Schema:
    found: Schema = {"type": "string"}
    found |= {"minLength": min_chars} if min_chars else {}
    found |= {"maxLength": max_chars} if max_chars else {}
    return found | ({"pattern": pattern} if pattern else {})


def choice(values: Sequence[str]) -> Schema:
    return {"enum": list(values)}


def number(low: float, high: float) -> Schema:
    return {"type": "number", "minimum": low, "maximum": high}


def integer(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def defs() -> dict[str, Schema]:
    return {
        "slug": described(
            text(1, 63, re.compile(SLUG.regex).pattern), "1 to 63 of a–z, 0–9 and '-', not '-' at an end."
        ),
        "type": text(1, MAX_TYPE_CHARS, r"^[^\s*,]+(\.\*)?$"),
        "tag": text(1, MAX_TAG_CHARS, r"^[A-Za-z0-9._:/-]+$"),
        "variable": described(
            text(pattern=r"^$|\$\{[A-Za-z_][A-Za-z0-9_]*\}"), "${NAME} of the environment in place of the value."
        ),
        "duration": described(text(pattern=DURATION), "Seconds, or a number with s, m, h or d: 30s, 5m, 1h 30m."),
        "filter": _filter(),
        "attributes": _attributes(),
        "retry_policy": {"anyOf": [choice(list(NAMED_POLICIES)), reference("policy_fields")]},
        "policy_fields": _policy_fields(),
    }


def _filter() -> Schema:
    several = array(reference("filter"), least=1)
    dialects = {
        "exact": described(reference("attributes"), "Attributes that equal these texts."),
        "prefix": described(reference("attributes"), "Attributes that begin with these texts."),
        "suffix": described(reference("attributes"), "Attributes that end with these texts."),
        "all": described(several, "All of these filters hold."),
        "any": described(several, "At least one of these filters holds."),
        "not": described(reference("filter"), "This filter does not hold."),
    }
    return objects(dialects) | {"minProperties": 1, "maxProperties": 1}


def _attributes() -> Schema:
    names = {"pattern": rf"^[a-z0-9]{{1,{MAX_ATTRIBUTE_CHARS}}}$", "not": {"const": "data"}}
    values = text(1, MAX_TEXT_CHARS)
    return {"type": "object", "minProperties": 1, "propertyNames": names, "additionalProperties": values}


def _policy_fields() -> Schema:
    reserved = sorted({GONE_STATUS, *THROTTLING_STATUSES})
    status = integer(400, 599) | {"not": {"enum": reserved}}
    wait: Schema = {"anyOf": [number(0, MAX_WAIT_S), reference("duration")]}
    first: Schema = {"anyOf": [{"const": 0}, reference("duration")]}
    schedule = array(wait, least=1, most=MAX_ATTEMPTS) | {"prefixItems": [first]}
    age: Schema = {"anyOf": [number(MIN_MAX_AGE_S, MAX_MAX_AGE_S), reference("duration")]}
    return objects(
        {
            "name": optional(
                choice(list(NAMED_POLICIES)), "The policy whose fields these replace; without it standard."
            ),
            "schedule_s": optional(schedule, "The wait before each attempt, the first one's 0 too."),
            "jitter_share": optional(number(0, 1), "Up to this share of a wait is added at random."),
            "max_age_s": optional(age, "How long after the first attempt a delivery may be tried again."),
            "permanent_statuses": optional(array(status), "Status codes after which a delivery is dead at once."),
        }
    )
