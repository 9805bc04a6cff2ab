"""The HTTP binding's binary mode: attributes in `ce-` headers, the data as the body. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from eventcenter.envelope.attributes import build_envelope
from eventcenter.envelope.model import (
    DEFAULT_CONTENT_TYPE,
    Envelope,
    FieldProblem,
    Scalar,
    canonical_text,
    shown_name,
    wire_attributes,
)
from eventcenter.envelope.payload import RefusedError, json_text, media_type
from eventcenter.envelope.structured import split_members

HTTP_PREFIX = "ce-"

_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BACKSLASH = re.compile(r"\\(.)")
# The binding's set: printable ASCII but the space, the double quote and the percent sign.
_HEADER_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_NEEDS_ENCODING = re.compile(r'[^\x21-\x7e]|["%]')


def parse_binary(headers: Mapping[str, str], body: bytes) -> Envelope:
    """One event of a binary-mode request; header names in any case. Raises EnvelopeError."""
    problems: list[FieldProblem] = []
    attributes: dict[str, object] = {}
    for header, value in headers.items():
        lowered = header.lower()
        if lowered == "content-type":
            attributes["datacontenttype"] = value or None
        elif lowered.startswith(HTTP_PREFIX):
            _take_header(lowered.removeprefix(HTTP_PREFIX), value, attributes, problems)
    return build_envelope(attributes, checked_body(attributes, body, problems), problems)


def _take_header(name: str, value: str, attributes: dict[str, object], problems: list[FieldProblem]) -> None:
    try:
        if name == "datacontenttype":
            raise RefusedError("must be given by the Content-Type header in binary mode")
        if name in attributes:
            raise RefusedError("must stand only once in the event")
        attributes[name] = decode_header(value)
    except RefusedError as refused:
        attributes.setdefault(name, None)
        problems.append(FieldProblem(shown_name(name), str(refused)))


def checked_body(attributes: Mapping[str, object], body: bytes, problems: list[FieldProblem]) -> bytes:
    """The payload of a binary-mode message; adds to `problems` and gives no bytes when it is wrong."""
    declared = attributes.get("datacontenttype") or DEFAULT_CONTENT_TYPE
    try:
        if not media_type(str(declared)).is_json:
            return body
    except RefusedError:  # the attribute's own check reports it
        return b""
    try:
        return json_text(body)
    except RefusedError as refused:
        problems.append(FieldProblem("data", str(refused)))
        return b""


def decode_header(value: str) -> str:
    """An attribute's text: quoted-string unescaped, then one round of percent-decoding. Raises RefusedError."""
    if not value.isascii():
        raise RefusedError("must be ASCII in a header: percent-encode the UTF-8 bytes of other characters")
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = _BACKSLASH.sub(r"\1", value[1:-1])
    if "%" not in value:
        return value
    if _PERCENT.search(value):
        raise RefusedError("must write a percent sign as %25 in a header")
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise RefusedError("must percent-encode valid UTF-8 in a header") from None


def encode_header(value: str) -> str:
    """Printable ASCII without spaces: no value can end a header line or start another."""
    return quote(value, safe=_HEADER_SAFE) if _NEEDS_ENCODING.search(value) else value


def to_binary_headers(envelope: Envelope) -> list[tuple[str, str]]:
    """The `ce-` headers in canonical order; Content-Type is `envelope.datacontenttype`, the body `envelope.data`."""
    return _headers(wire_attributes(envelope))


def split_structured(body: bytes) -> tuple[list[tuple[str, str]], str, bytes]:
    """From `to_structured`'s bytes to binary mode: the `ce-` headers, the content type, the body."""
    attributes, data = split_members(body)
    return _headers(attributes), str(attributes["datacontenttype"]), data


def _headers(attributes: Mapping[str, Scalar]) -> list[tuple[str, str]]:
    return [
        (HTTP_PREFIX + name, encode_header(canonical_text(value)))
        for name, value in attributes.items()
        if name != "datacontenttype"
    ]
