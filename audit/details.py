"""What an entry may hold, pure. All of it comes back from PostgreSQL's jsonb as it went in, and from any JSON reader.

That is needed for the digest: it is computed before the row is written and checked from what is stored. jsonb turns 1e16
into 10000000000000000 and -0.0 into 0 and has no NaN; programs disagree on how a float is written; some read integers as
doubles (RFC 8259, section 6). So floats are refused, and integers beyond 2⁵³ - 1.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_INTEGER = 2**53 - 1  # RFC 7493 (I-JSON), section 2.2
MAX_DEPTH = 16
CUT_MARK = "…"


class NotRecordable(ValueError):
    """Names the part of the entry that cannot be kept, and what it takes."""


def checked(details: dict[str, object]) -> dict[str, object]:
    """The details as the stored row will give them back: a copy, with lists for tuples."""
    if not isinstance(details, dict):
        raise NotRecordable(f"details take a dict, not {type(details).__name__}.")
    return _object("details", details, MAX_DEPTH)


def check_text(where: str, text: object, longest: int | None = None) -> str:
    """Plain str again for its subclasses, such as the members of TextChoices."""
    if not isinstance(text, str):
        raise NotRecordable(f"{where} takes text, not {type(text).__name__}.")
    if "\0" in text:
        raise NotRecordable(f"{where} has a NUL character, which PostgreSQL cannot keep.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise NotRecordable(f"{where} has half of a surrogate pair, which is no UTF-8.")
    if longest is not None and len(text) > longest:
        raise NotRecordable(f"{where} takes at most {longest} characters; it has {len(text)}.")
    return str.__str__(text)


def fit(text: str, longest: int) -> str:
    """Text of a stranger, such as the name of a failed login, made recordable: what cannot be kept is U+FFFD."""
    kept = "".join("\ufffd" if ch == "\0" or "\ud800" <= ch <= "\udfff" else ch for ch in text)
    return kept if len(kept) <= longest else kept[: longest - 1] + CUT_MARK


def recordable(value: object) -> object:
    """A value of a form or a file, made to fit: 2.0 is 2, 2.5 and a date are their text, lists and dicts are gone through."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return int(value) if abs(value) <= MAX_INTEGER else str(value)
    if isinstance(value, Mapping):
        return {str(key): recordable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [recordable(item) for item in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    text = str(value)
    return fit(text, max(1, len(text)))


def _value(where: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(where, value)
    if isinstance(value, int):
        return _integer(where, value)
    if depth == 0:
        raise NotRecordable(f"{where} is nested deeper than {MAX_DEPTH}.")
    if isinstance(value, list | tuple):
        return [_value(f"{where}[{index}]", item, depth - 1) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return _object(where, value, depth - 1)
    raise NotRecordable(
        f"{where} takes text, an integer, true, false, null, a list or a dict, not {type(value).__name__}"
        f"{' (write it as text)' if isinstance(value, float) else ''}."
    )


def _integer(where: str, value: int) -> int:
    if abs(value) > MAX_INTEGER:
        raise NotRecordable(f"{where} takes integers up to 2**53 - 1 (write it as text).")
    return int(value)


def _object(where: str, pairs: dict[object, object] | dict[str, object], depth: int) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key, value in pairs.items():
        name = check_text(f"a key of {where}", key)
        kept[name] = _value(f"{where}.{name}", value, depth)
    return kept
