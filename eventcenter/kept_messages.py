"""How a rejected message's headers are kept as JSON, and how the message is had back from its row. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from eventcenter.consumer import BusMessage
from eventcenter.models import RejectedEvent

BASE64 = "base64:"
NAMES_NOT_UTF8 = "headers: a header's name must be UTF-8"

Headers = Sequence[tuple[str, bytes | None]]


def headers_as_json(headers: Headers | None) -> list[list[str | None]]:
    """Pairs of name and value. What is not plain text stands as base64 behind "base64:"; a header without a value has null."""
    return [[name.replace("\0", "\ufffd"), _as_text(value)] for name, value in headers or ()]


def message_of(row: RejectedEvent) -> BusMessage:
    """The message as it stood on the bus. Headers whose names could not be read then cannot be now."""
    headers = None if row.detail == NAMES_NOT_UTF8 else [(pair[0], _as_bytes(pair[1])) for pair in row.headers]
    key = None if row.key is None else bytes(row.key)
    return BusMessage(row.topic, row.kafka_partition, row.kafka_offset, key, headers, bytes(row.value))


def _as_text(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return BASE64 + base64.b64encode(value).decode()
    # jsonb holds no NUL; and what begins like our own mark must not be taken for it
    return BASE64 + base64.b64encode(value).decode() if "\0" in text or text.startswith(BASE64) else text


def _as_bytes(text: str | None) -> bytes | None:
    if text is None:
        return None
    if text.startswith(BASE64):
        try:
            return base64.b64decode(text[len(BASE64) :], validate=True)
        except binascii.Error:  # kept by an older release: text that happened to begin so
            return text.encode()
    return text.encode()
