"""The filters of the template language. Each takes texts of at most MAX_TEXT_CHARS and makes none that outgrows memory. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from inspect import signature
from urllib.parse import quote

import orjson
from liquid import Undefined

from subscriptions.templating.errors import TemplateError
from subscriptions.templating.limits import MAX_NUMBER, MAX_TEXT_CHARS

Filter = Callable[..., object]


_WEB_URL = re.compile(r"https?://[^\s<>|]+")


class Omit:
    """The value of `omit`: what comes out as this is left out of its object or list."""

    def __repr__(self) -> str:
        return "omit"


OMIT = Omit()

# Directives whose output is short whatever the moment; glibc also takes widths ("%9999d"), so others are refused.
_DATE_FORMAT = re.compile(r"(?:[^%]|%[YymdHMSjbBaAz%])*")


def as_text(value: object) -> str:
    """The one way a value becomes text: nothing for null, JSON for lists and objects."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return as_json(value)


def as_json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise TemplateError("a value is none that JSON has") from error


def _whole(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_TEXT_CHARS:
        raise TemplateError(f"{what} must be a whole number of at most {MAX_TEXT_CHARS}")
    return value


def _must_fit(chars: int) -> None:
    if chars > MAX_TEXT_CHARS:
        raise TemplateError(f"a text grows over {MAX_TEXT_CHARS} characters")


def _default(value: object, other: object = "", *, allow_false: bool = False) -> object:
    """`other` for what is missing, null, false or empty; zero is a value, and so is false with `allow_false`."""
    if isinstance(value, Undefined) or value is None or value in ("", [], {}):
        return other
    return other if value is False and not allow_false else value


def _text(value: object) -> object:
    return value if isinstance(value, Omit) else as_text(value)


def _append(value: object, other: object) -> str:
    return as_text(value) + as_text(other)


def _prepend(value: object, other: object) -> str:
    return as_text(other) + as_text(value)


def _replace(value: object, old: object, new: object = "") -> str:
    text, before, after = as_text(value), as_text(old), as_text(new)
    _must_fit(len(text) + text.count(before) * max(len(after) - len(before), 0))
    return text.replace(before, after)


def _truncate(value: object, chars: object, ellipsis: object = "...") -> str:
    text, end, most = as_text(value), as_text(ellipsis), _whole(chars, "truncate's length")
    return text if len(text) <= most else text[: max(most - len(end), 0)] + end[: max(most, 0)]


def _slice(value: object, start: object, length: object = 1) -> object:
    first, count = _whole(start, "slice's start"), _whole(length, "slice's length")
    items = value if isinstance(value, list) else as_text(value)
    begin = max(len(items) + first, 0) if first < 0 else first
    return items[begin : begin + max(count, 0)]


def _split(value: object, separator: object) -> list[str]:
    mark = as_text(separator)
    if not mark:
        raise TemplateError("split needs a separator")
    return as_text(value).split(mark)


def _join(value: object, glue: object = " ") -> str:
    if not isinstance(value, list):
        raise TemplateError("join takes a list")
    between = as_text(glue)
    _must_fit(len(value) * len(between))
    return between.join(as_text(item) for item in value)


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else None


def _last(value: object) -> object:
    return value[-1] if isinstance(value, list) and value else None


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | list | dict) else 0


def _date(value: object, format_: object) -> str:
    wanted = as_text(format_)
    if not _DATE_FORMAT.fullmatch(wanted):
        raise TemplateError("date takes only %Y %y %m %d %H %M %S %j %b %B %a %A %z and %%")
    try:
        return datetime.fromisoformat(as_text(value)).strftime(wanted)
    except ValueError as error:
        raise TemplateError("date takes a time in RFC 3339") from error


def _web_url(value: object) -> str | None:
    """The value if a browser could follow it, else null: in some markups other words in a link's place are commands."""
    return value if isinstance(value, str) and _WEB_URL.fullmatch(value) else None


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > MAX_NUMBER:
        raise TemplateError("plus and minus take numbers of at most 2 to the power of 53")
    return value


def takes(known: Filter, count: int, options: Iterable[str]) -> bool:
    """Whether a filter can be given `count` arguments besides the value, and these options by name."""
    try:
        signature(known).bind(None, *[None] * count, **dict.fromkeys(options))
    except TypeError:
        return False
    return True


FILTERS: dict[str, Filter] = {
    "append": _append,
    "capitalize": lambda value: as_text(value).capitalize(),
    "date": _date,
    "default": _default,
    "downcase": lambda value: as_text(value).lower(),
    "first": _first,
    "join": _join,
    "json": as_json,
    "last": _last,
    "minus": lambda value, other: _number(value) - _number(other),
    "plus": lambda value, other: _number(value) + _number(other),
    "prepend": _prepend,
    "remove": lambda value, old: _replace(value, old),
    "replace": _replace,
    "size": _size,
    "slice": _slice,
    "split": _split,
    "text": _text,
    "strip": lambda value: as_text(value).strip(),
    "truncate": _truncate,
    "upcase": lambda value: as_text(value).upper(),
    "web_url": _web_url,
    "url_encode": lambda value: quote(as_text(value), safe=""),
}
