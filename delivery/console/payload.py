"""Stored bytes as a page shows them: indented JSON, text, or a hex dump. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

SHOWN_CHARS = 65_536
DUMPED_BYTES = 2_048
# Beyond it JSON is not indented: the page would wait for what is cut off anyway.
INDENTED_BYTES = 2 * 1024 * 1024
_A_LINE = 16
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(frozen=True, slots=True)
class Shown:
    """`kind`: json, text or binary. `cut`: the bytes go on beyond `text`."""

    text: str
    kind: str
    size: int
    cut: bool


def shown(raw: bytes) -> Shown:
    text = _text(raw)
    if text is None:
        return Shown(hex_dump(raw[:DUMPED_BYTES]), "binary", len(raw), len(raw) > DUMPED_BYTES)
    indented = _indented(text) if len(raw) <= INDENTED_BYTES else None
    full = text if indented is None else indented
    return Shown(full[:SHOWN_CHARS], "text" if indented is None else "json", len(raw), len(full) > SHOWN_CHARS)


def _text(raw: bytes) -> str | None:
    """None: it is not UTF-8, or holds controls that a page cannot show."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _indented(text: str) -> str | None:
    """None: it is no JSON document. Every token stays as it was sent: 1.50, \\u00e9, a name that stands twice."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return None
    parts, length = [], 0
    for part in _laid_out(_TOKEN.findall(text)):
        parts.append(part)
        length += len(part)
        if length > SHOWN_CHARS:
            break
    return "".join(parts)


def _laid_out(tokens: list[str]) -> Iterator[str]:
    """The tokens of a valid document with white space between them."""
    depth, before = 0, ""
    for token in tokens:
        if token in ("}", "]"):
            depth -= 1
        if before in ("{", "["):
            yield "" if token in ("}", "]") else _line_break(depth)
        elif token in ("}", "]") or before == ",":
            yield _line_break(depth)
        elif before == ":":
            yield " "
        yield token
        depth += token in ("{", "[")
        before = token


def _line_break(depth: int) -> str:
    return "\n" + "  " * depth


def hex_dump(raw: bytes) -> str:
    """Offset, bytes, and what of them is printable ASCII; 16 a line."""
    return "\n".join(_line(place, raw[place : place + _A_LINE]) for place in range(0, len(raw), _A_LINE))


def _line(place: int, part: bytes) -> str:
    printable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
    return f"{place:06x}  {part.hex(' '):<{_A_LINE * 3 - 1}}  {printable}"
