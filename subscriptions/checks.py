"""What a subscription's types and tags may be, in words for their author. Pure; shared by the admin's forms and the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

MAX_TYPES = 50
MAX_TAGS = 32
MAX_TYPE_CHARS = 200
MAX_TAG_CHARS = 64

_TYPE = re.compile(r"[^\s*,]+?(?:\.\*)?")
_TAG = re.compile(r"[A-Za-z0-9._:/-]+")  # what an event's tags may be; another one would never match


def check_type(pattern: str) -> str | None:
    """None when it is fit to match event types."""
    if not pattern or len(pattern) > MAX_TYPE_CHARS:
        return f"takes 1 to {MAX_TYPE_CHARS} characters"
    if not pattern.isprintable() or not _TYPE.fullmatch(pattern):
        return f"{pattern!r} is no event type; it takes one such as plugin.release.published, or plugin.release.*"
    return None


def check_tag(tag: str) -> str | None:
    if not tag or len(tag) > MAX_TAG_CHARS or not _TAG.fullmatch(tag):
        return f"{tag!r} is no tag; it takes 1 to {MAX_TAG_CHARS} of A–Z, a–z, 0–9 and . _ : / -"
    return None


def check_types(types: Sequence[str]) -> str | None:
    """What is wrong with the first bad one; None when all are good, at least one, none twice."""
    if not types:
        return "takes at least one event type; '*' alone is not one, name a prefix such as plugin.*"
    return _first(check_type, types) or _check_list(types, MAX_TYPES)


def check_tags(tags: Sequence[str]) -> str | None:
    return _first(check_tag, tags) or _check_list(tags, MAX_TAGS)


def _first(check: Callable[[str], str | None], items: Sequence[str]) -> str | None:
    return next((problem for item in items if (problem := check(item))), None)


def _check_list(items: Sequence[str], most: int) -> str | None:
    if len(items) > most:
        return f"takes at most {most}"
    if len(set(items)) < len(items):
        return "names one of them twice"
    return None
