"""The file's JSON Schema (2020-12), for editors and for CI. It tells structure; ranges and scopes are the reader's. Pure."""

from __future__ import annotations

from delivery.alerting.kinds import KINDS, Kind, RuleKind
from delivery.alerting.rule_values import CLEAR_BELOW, ENABLED, FIELDS, SEVERITY, THRESHOLD, fields_of, takes
from delivery.alerting.rules_file.document import VERSION
from delivery.models import AlertSeverity

Schema = dict[str, object]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:event-center:alert-rules-file:1"


def file_schema() -> Schema:
    rules = {"description": "One for a kind and a scope.", "type": ["array", "null"], "items": _rule()}
    return {
        "$schema": DRAFT,
        "$id": ID,
        "title": "Event Center alert rules file",
        "description": "When alerts fire. See docs/operations/alerting.md.",
        "type": "object",
        "properties": {"version": {"description": "The version of this format.", "const": VERSION}, "rules": rules},
        "required": ["version"],
        "additionalProperties": False,
    }


def _rule() -> Schema:
    slug = {"type": ["string", "null"]}
    kinds = [{"const": kind.value, "description": str(kind.label)} for kind in RuleKind]
    properties: Schema = {
        "kind": {"description": "What is measured.", "oneOf": kinds},
        "tenant": {"description": "Its slug; without it everybody's.", **slug},
        "endpoint": {"description": "Its slug, beside its tenant's.", **slug},
        **{name: _field(name) for name in FIELDS},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": ["kind"],
        "additionalProperties": False,
        "allOf": [_of_kind(kind) for kind in KINDS.values() if fields_of(kind) != FIELDS],
    }


def _of_kind(kind: Kind) -> Schema:
    """What a kind has no use for is not there."""
    absent = {name: {"type": "null"} for name in FIELDS if name not in fields_of(kind)}
    return {"if": {"properties": {"kind": {"const": kind.kind.value}}}, "then": {"properties": absent}}


def _field(name: str) -> Schema:
    if name == SEVERITY:
        return {"description": "Who is called decides by it.", "enum": [*AlertSeverity.values, None]}
    if name == ENABLED:
        return {"description": "False: it does not fire, here at least.", "type": ["boolean", "null"]}
    about = {THRESHOLD: "It fires above this", CLEAR_BELOW: "It resolves at or below this"}.get(name)
    said = f"{about}, in the unit of its kind." if about else f"It {takes(KINDS[RuleKind.FAILURE_RATE], name)}."
    return {"description": said, "type": ["string", "number", "null"]}
