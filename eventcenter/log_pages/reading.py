"""Stored bytes and documents, made readable: indented JSON, text, or base64."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

SHOWN_CHARS = 65_536


def pretty(document: object) -> str:
    """Indented, in the order in which it is stored."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def readable(raw: bytes) -> str:
    """Indented when it is JSON, else UTF-8 text, else base64 behind 'base64:'. Not cut."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(raw).decode()}"
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return pretty(json.loads(text))
    except (ValueError, RecursionError):
        return text


def shown(text: str) -> SafeString:
    """For a page: as it is written, cut after SHOWN_CHARS."""
    over = len(text) - SHOWN_CHARS
    return format_html("<pre>{}</pre>", text if over <= 0 else f"{text[:SHOWN_CHARS]}… ({over:,} characters more)")


def header_lines(pairs: Iterable[Sequence[str | None]]) -> SafeString:
    """(name, value) pairs, one a line."""
    lines = format_html_join("\n", "{}: {}", ((pair[0], pair[1] or "") for pair in pairs))
    return format_html("<pre>{}</pre>", lines or "–")
