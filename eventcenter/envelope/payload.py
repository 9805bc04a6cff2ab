"""What may stand in `data`: media types and JSON text. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from functools import lru_cache
from typing import NamedTuple

import msgspec

# RFC 8259 lets a reader choose. Real release events nest 3 deep; 64 is far from any parser's own limit, so the same
# event is never taken by one process and refused by another.
MAX_DATA_DEPTH = 64

_TOKEN = r"[A-Za-z0-9!#$&^_.+*'`|~-]+"  # noqa: S105 - a grammar rule's name, not a secret
_MEDIA_TYPE = re.compile(rf'({_TOKEN})/({_TOKEN})((?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]*"))*)')
_CHARSET = re.compile(r';[ \t]*charset="?([^";]+)', re.IGNORECASE)
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_UTF8_NAMES = frozenset({"utf-8", "utf8", "us-ascii"})
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)

TOO_DEEP = f"must not nest arrays and objects more than {MAX_DATA_DEPTH} levels deep"


class RefusedError(ValueError):
    """A value is not what its place takes; the message says what is."""


class MediaType(NamedTuple):
    is_json: bool
    is_utf8: bool
    is_cloudevents: bool


@lru_cache(maxsize=512)
def media_type(text: str) -> MediaType:
    """Reads an RFC 2046 media type. Raises RefusedError."""
    match = _MEDIA_TYPE.fullmatch(text)
    if match is None:
        raise RefusedError('must be a media type such as "application/json"')
    main, subtype = match[1].lower(), match[2].lower()
    charset = _CHARSET.search(match[3])
    return MediaType(
        is_json=subtype == "json" or subtype.endswith("+json"),
        is_utf8=charset is None or charset[1].strip().lower() in _UTF8_NAMES,
        is_cloudevents=main == "application" and subtype.startswith("cloudevents"),
    )


def check_utf8(body: bytes) -> None:
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise RefusedError(f"must be valid UTF-8 (byte {error.start} is not)") from None


def check_depth(text: bytes, limit: int) -> None:
    """Raises RefusedError when well-formed JSON nests deeper than `limit`; says nothing about malformed text.

    Works on whole byte strings, because a loop over the characters of a 5 MiB body would hold a web worker for seconds:
    strings are cut out, then each round removes the innermost pairs, so the number of rounds is the depth.
    """
    if text.count(b"[") + text.count(b"{") <= limit:
        return
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    structure = b"".join(unescaped.split(b'"')[::2])
    brackets = bytes(byte for byte in range(256) if byte not in b"[]{}")
    left = structure.translate(bytes.maketrans(b"{}", b"[]"), brackets)
    if b"[" * (limit + 1) in left:
        raise RefusedError(TOO_DEEP)
    for _ in range(limit):
        shorter = left.replace(b"[]", b"")
        if not shorter or shorter == left:
            return
        left = shorter
    raise RefusedError(TOO_DEEP)


def check_no_nul(text: bytes) -> None:
    """PostgreSQL holds no U+0000, in text or in jsonb, so an event with one could be taken and then not stored."""
    if b"\\u0000" in text and _NUL_ESCAPE.search(text):
        raise RefusedError("must not contain the character U+0000")


def json_text(body: bytes) -> bytes:
    """`body` without whitespace around it, checked to be one JSON text; empty for no data. Raises RefusedError."""
    if not body.strip(b" \t\r\n"):
        return b""
    check_utf8(body)
    check_depth(body, MAX_DATA_DEPTH)
    check_no_nul(body)
    try:
        return bytes(_raw_decoder.decode(body))
    except RecursionError:
        raise RefusedError(TOO_DEEP) from None
    except msgspec.DecodeError as error:
        raise RefusedError(f"must be JSON, as datacontenttype says: {error}") from None


def decode_base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise RefusedError("must be a string of base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError("must be base64 in the standard alphabet, with padding") from None


def repeated_names(body: bytes) -> list[str]:
    """The member names that stand more than once in the outermost object of well-formed JSON. Slow; for refusals."""
    decoder = json.JSONDecoder(object_pairs_hook=list, parse_int=str, parse_float=str)
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for name, _ in decoder.decode(body.decode()):
        if name in seen:
            repeated[name] = None
        seen.add(name)
    return list(repeated)
