"""The v1 JSON envelope: what the bus carried before CloudEvents, taken and sent while everybody changes over. Pure.

The form is told in docs/standards/events/event-bus-schema.md; event-envelope-v1.schema.json beside it is its JSON Schema.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from eventcenter.envelope.attributes import ATTRIBUTES, MAX_TAG_CHARS, MAX_TAGS, build_envelope, parse_tags
from eventcenter.envelope.model import (
    DEFAULT_CONTENT_TYPE,
    SPEC_VERSION,
    Envelope,
    EnvelopeError,
    FieldProblem,
    Scalar,
    shown_name,
    wire_attributes,
)
from eventcenter.envelope.payload import RefusedError
from eventcenter.envelope.structured import (
    Members,
    check_text,
    data_of,
    decoded,
    parse_each,
    raw_members,
    split_members,
    with_data,
)

V1_CONTENT_TYPE = "application/vnd.event-center.v1+json"
V1_BATCH_CONTENT_TYPE = "application/vnd.event-center.v1-batch+json"
VERSION = 1

# Member → CloudEvents attribute, in the order that we send them. `version` comes second, `attributes` and the payload last.
MEMBERS = {
    "event": "type",
    "event_id": "id",
    "source": "source",
    "occurred_at": "time",
    "tenant": "tenant",
    "subject": "subject",
    "tags": "tags",
    "idempotency_key": "idempotencykey",
    "traceparent": "traceparent",
    "ordering_key": "partitionkey",
    "content_type": "datacontenttype",
    "schema": "dataschema",
}
OTHER_MEMBERS = ("version", "attributes", "payload", "payload_base64")

_WORDS = {attribute: name for name, attribute in MEMBERS.items()} | {"data": "payload", "data_base64": "payload_base64"}
_HEAD = re.compile(r"[a-z0-9_]*")
_WORDS_IN_MESSAGES = re.compile(r"\b(data_base64|datacontenttype|dataschema)\b")
_UNKNOWN = 'is no member of the v1 envelope; an attribute of your own goes into "attributes"'
_TAGS = f"must be an array of at most {MAX_TAGS} tags, each 1 to {MAX_TAG_CHARS} characters of A-Z a-z 0-9 . _ : / -"
_ATTRIBUTES = "must be an object of names with strings, booleans or integers of 32 bits"


def parse_v1(body: bytes) -> Envelope:
    """One event of the v1 form. Raises EnvelopeError, whose problems name v1's members."""
    check_text(body)
    return _parse(body)


def parse_v1_batch(body: bytes) -> list[Envelope]:
    """The events of a JSON array of the v1 form. Raises EnvelopeError as parse_batch does."""
    return parse_each(body, _parse)


def looks_like_v1(body: bytes) -> bool:
    """Whether unmarked JSON is meant as v1: an object that names its `event` and no `specversion`."""
    if b'"event"' not in body:
        return False
    try:
        names = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return False
    return "event" in names and "specversion" not in names


def to_v1(envelope: Envelope) -> bytes:
    """The canonical v1 form: equal envelopes give equal bytes, JSON data stands in it byte for byte."""
    return _encode(wire_attributes(envelope), envelope.data)


def structured_to_v1(body: bytes) -> bytes:
    """The same from `to_structured`'s bytes."""
    return _encode(*split_members(body))


def in_v1_words(problem: FieldProblem) -> FieldProblem:
    """A problem that names CloudEvents attributes, for somebody who sent v1."""
    message = _WORDS_IN_MESSAGES.sub(lambda found: _WORDS[found[0]], problem.message)
    return dataclasses.replace(problem, field=v1_field(problem.field), message=message)


def v1_field(field: str) -> str:
    """The v1 place of a problem's field, such as payload.artifact of data.artifact."""
    if field == "body":
        return field
    found = _HEAD.match(field)
    head = found[0] if found else ""
    return _WORDS[head] + field[len(head) :] if head in _WORDS else f"attributes.{field}"


def _parse(body: bytes) -> Envelope:
    values, payload = decoded(_values, body)
    problems = [FieldProblem(shown_name(name), _UNKNOWN) for name in values if not _is_member(name)]
    attributes: dict[str, Any] = {"specversion": SPEC_VERSION}
    attributes |= {MEMBERS[name]: value for name, value in values.items() if name in MEMBERS}
    problems += _version_problems(values.get("version"))
    problems += _take_tags(attributes)
    problems += _take_extensions(values.get("attributes"), attributes)
    found: list[FieldProblem] = []
    data = data_of(Members(attributes, payload, values.get("payload_base64")), found)
    try:
        envelope = build_envelope(attributes, data, found)
    except EnvelopeError as error:
        wrong = {problem.field for problem in problems}
        problems += [told for told in map(in_v1_words, error.problems) if told.field not in wrong]
    if problems:
        raise EnvelopeError(problems)
    return envelope


def _values(body: bytes) -> tuple[dict[str, Any], bytes | None]:
    """The members but the payload, decoded, and the payload's JSON text."""
    raws = raw_members(body)
    payload = raws.pop("payload", None)
    values: dict[str, Any] = {name: msgspec.json.decode(raw) for name, raw in raws.items()}
    if isinstance(values.get("attributes"), dict):
        raw_members(bytes(raws["attributes"]))  # for the names that stand twice
    return values, None if payload is None else bytes(payload)


def _is_member(name: str) -> bool:
    return name in MEMBERS or name in OTHER_MEMBERS


def _version_problems(value: object) -> list[FieldProblem]:
    if value is None:
        return [FieldProblem("version", "is required")]
    right = isinstance(value, int) and not isinstance(value, bool) and value == VERSION
    return [] if right else [FieldProblem("version", f"must be the number {VERSION}, the envelope's version")]


def _take_tags(attributes: dict[str, Any]) -> list[FieldProblem]:
    """v1 has an array where CloudEvents has one string; what is wrong is left out."""
    tags = attributes.get("tags")
    if tags is None:
        return []
    try:
        if not isinstance(tags, list) or not all(isinstance(tag, str) and tag and "," not in tag for tag in tags):
            raise RefusedError(_TAGS)
        attributes["tags"] = ",".join(tags)
        parse_tags(attributes["tags"])
    except RefusedError:
        del attributes["tags"]
        return [FieldProblem("tags", _TAGS)]
    return []


def _take_extensions(value: object, attributes: dict[str, Any]) -> list[FieldProblem]:
    if value is None:
        return []
    if not isinstance(value, dict):
        return [FieldProblem("attributes", _ATTRIBUTES)]
    problems = []
    for name, one in value.items():
        if name in ATTRIBUTES:
            problems.append(FieldProblem(f"attributes.{name}", "has a member of its own in the v1 envelope"))
        else:
            attributes[name] = one
    return problems


def _encode(attributes: Mapping[str, Scalar], data: bytes) -> bytes:
    left = {name: value for name, value in attributes.items() if name != "specversion"}
    declared = str(left.get("datacontenttype", DEFAULT_CONTENT_TYPE))
    if declared == DEFAULT_CONTENT_TYPE:
        left.pop("datacontenttype", None)
    members: dict[str, object] = {"event": left.pop("type"), "version": VERSION}
    for name, attribute in MEMBERS.items():
        if attribute in left:
            value = left.pop(attribute)
            members[name] = str(value).split(",") if name == "tags" else value
    if left:
        members["attributes"] = left
    return with_data(msgspec.json.encode(members), declared, data, "payload")
