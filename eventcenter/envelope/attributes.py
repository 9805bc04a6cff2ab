"""The context attributes: what each one takes, in one table. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import jsonschema_rs
import msgspec

from eventcenter.envelope.model import (
    DEFAULT_CONTENT_TYPE,
    SPEC_VERSION,
    Envelope,
    EnvelopeError,
    FieldProblem,
    Scalar,
    shown_name,
)
from eventcenter.envelope.payload import RefusedError, media_type

MAX_TEXT_CHARS = 512  # at most 2,048 bytes of UTF-8, so that each fits a B-tree entry of PostgreSQL (2,704 bytes)
MAX_NAME_CHARS = 20  # CloudEvents: attribute names should not exceed 20
MAX_TAGS = 32
MAX_TAG_CHARS = 64
MAX_EXTENSIONS = 40
# On the bus an event also carries attributes of our own. Nobody else may send them, or an event that was accepted would
# have one twice, and one that was accepted with as many as it may have must still be taken.
OWN_PREFIX = "eventcenter"
OWN_EXTENSIONS = 8
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

_NAME = re.compile(rf"[a-z0-9]{{1,{MAX_NAME_CHARS}}}")
_TENANT = re.compile(r"[a-z0-9-]{1,63}")
_TAG = re.compile(rf"[A-Za-z0-9._:/-]{{1,{MAX_TAG_CHARS}}}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?")
# CloudEvents strings hold no control characters, no lone surrogates and no Unicode noncharacters.
_NONCHARACTERS = "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17))
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")


def _format_validator(name: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator({"format": name}, validate_formats=True)


_URI = _format_validator("uri")
_URI_REFERENCE = _format_validator("uri-reference")


def text(value: object) -> str:
    """Any string attribute. Raises RefusedError."""
    if not isinstance(value, str):
        raise RefusedError("must be a string")
    if not value:
        raise RefusedError("must not be empty; leave it out instead")
    if len(value) > MAX_TEXT_CHARS:
        raise RefusedError(f"must be at most {MAX_TEXT_CHARS} characters long")
    if not (value.isascii() and value.isprintable()) and _FORBIDDEN.search(value):
        raise RefusedError("must be valid Unicode without control characters or noncharacters")
    return value


def _specversion(value: object) -> str:
    if value != SPEC_VERSION:
        raise RefusedError(f'must be the string "{SPEC_VERSION}"')
    return SPEC_VERSION


@lru_cache(maxsize=4096)
def _is_uri_reference(value: str) -> bool:
    return _URI_REFERENCE.is_valid(value)


def _source(value: object) -> str:
    checked = text(value)
    if not _is_uri_reference(checked):
        raise RefusedError('must be a URI reference (RFC 3986) such as "/pipelines/release"')
    return checked


def _dataschema(value: object) -> str:
    checked = text(value)
    if not _URI.is_valid(checked):
        raise RefusedError('must be an absolute URI (RFC 3986) such as "https://host/schemas/type/1.json"')
    return checked


def _datacontenttype(value: object) -> str:
    if value == DEFAULT_CONTENT_TYPE:
        return DEFAULT_CONTENT_TYPE
    checked = text(value)
    if media_type(checked).is_cloudevents:
        raise RefusedError("must not be a CloudEvents media type: an event is not the data of another")
    return checked


def _time(value: object) -> datetime:
    try:
        moment = msgspec.convert(text(value), datetime)
        if moment.tzinfo is UTC:
            return moment
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        pass
    raise RefusedError('must be an RFC 3339 time with its zone, such as "2025-11-05T12:00:00Z"')


def _tenant(value: object) -> str:
    if not isinstance(value, str) or not _TENANT.fullmatch(value):
        raise RefusedError("must be a tenant's slug: 1 to 63 characters of a-z, 0-9 and -")
    return value


@lru_cache(maxsize=4096)
def _split_tags(value: str) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys(tag.strip(" ") for tag in value.split(",")))
    if len(tags) > MAX_TAGS:
        raise RefusedError(f"must be at most {MAX_TAGS} tags")
    if not all(_TAG.fullmatch(tag) for tag in tags):
        raise RefusedError(
            f"must be tags of 1 to {MAX_TAG_CHARS} characters of A-Z a-z 0-9 . _ : / - with commas between"
        )
    return tags


def parse_tags(value: object) -> tuple[str, ...]:
    """The tags of their wire form, in order and each once. Raises RefusedError."""
    if not isinstance(value, str):
        raise RefusedError('must be one string with commas between the tags, such as "stable,eu"')
    if not value:
        return ()
    return _split_tags(value)


def parse_traceparent(value: object) -> str | None:
    """The W3C trace context, or None when it is malformed: W3C asks a receiver to go on without it."""
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
        return None
    match = _TRACEPARENT.fullmatch(value)
    if match is None or (match[1] and value.startswith("00")):
        return None
    return value


def _extension(name: str, value: object) -> Scalar:
    if not _NAME.fullmatch(name) or name == "data":
        raise RefusedError(f"is no attribute name: it takes 1 to {MAX_NAME_CHARS} characters of a-z and 0-9")
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and INT32_MIN <= value <= INT32_MAX:
        return value
    raise RefusedError("must be a string, a boolean or an integer of 32 bits")


class Attribute(NamedTuple):
    """A row of the standard page's attribute table."""

    check: Callable[[object], Any]
    required: bool = False
    extension: bool = False


ATTRIBUTES: dict[str, Attribute] = {
    "specversion": Attribute(_specversion, required=True),
    "id": Attribute(text, required=True),
    "source": Attribute(_source, required=True),
    "type": Attribute(text, required=True),
    "subject": Attribute(text),
    "time": Attribute(_time),
    "datacontenttype": Attribute(_datacontenttype),
    "dataschema": Attribute(_dataschema),
    "tenant": Attribute(_tenant, extension=True),
    "tags": Attribute(parse_tags, extension=True),
    "traceparent": Attribute(parse_traceparent, extension=True),
    "idempotencykey": Attribute(text, extension=True),
    "partitionkey": Attribute(text, extension=True),
}
_CHECKS = {name: attribute.check for name, attribute in ATTRIBUTES.items()}
_REQUIRED = tuple(name for name, attribute in ATTRIBUTES.items() if attribute.required)


def build_envelope(
    attributes: Mapping[str, object], data: bytes, problems: list[FieldProblem], *, from_bus: bool = False
) -> Envelope:
    """The envelope of decoded attributes and checked data; None means unset. `problems` are those found before.

    Raises EnvelopeError with those and with every one found here.
    """
    known: dict[str, Any] = {}
    extensions: dict[str, Scalar] = {}
    for name, value in attributes.items():
        if value is None:
            continue
        try:
            check = _CHECKS.get(name)
            if check is None:
                extensions[name] = _extension(name, value)
            else:
                known[name] = check(value)
        except RefusedError as refused:
            problems.append(FieldProblem(shown_name(name), str(refused)))
    problems += _missing(attributes, problems)
    if extensions:
        problems += _extension_problems(extensions, from_bus)
    if problems:
        raise EnvelopeError(problems)
    del known["specversion"]
    return Envelope(**known, extensions=extensions, data=data)


def _extension_problems(extensions: dict[str, Scalar], from_bus: bool) -> list[FieldProblem]:
    if len(extensions) > MAX_EXTENSIONS + (OWN_EXTENSIONS if from_bus else 0):
        return [too_many_extensions()]
    own = [] if from_bus else [name for name in extensions if name.startswith(OWN_PREFIX)]
    return [FieldProblem(name, "is Event Center's own attribute; leave it out") for name in own]


def too_many_extensions() -> FieldProblem:
    return FieldProblem("body", f"must have at most {MAX_EXTENSIONS} extension attributes")


def _missing(attributes: Mapping[str, object], problems: list[FieldProblem]) -> list[FieldProblem]:
    missing = [name for name in _REQUIRED if attributes.get(name) is None]
    wrong = {problem.field for problem in problems} if missing else ()
    return [FieldProblem(name, "is required") for name in missing if name not in wrong]
