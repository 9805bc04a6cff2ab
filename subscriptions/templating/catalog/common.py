"""Checks that several services' URLs and parameters share. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from subscriptions.templating.model import UrlRule
from subscriptions.webhook_rules import MAX_HEADER_VALUE_CHARS


def url_rule(
    example: str, path: str, *, hosts: tuple[str, ...] = (), elsewhere: str = "", is_secret: bool = False
) -> UrlRule:
    """`path`: a pattern for the whole path on `hosts` (none given: on any host), https there; `elsewhere`: on others."""
    on_hosts, on_others = re.compile(path), re.compile(elsewhere or path)

    def check(url: str) -> str | None:
        parts = urlsplit(url)
        is_known = parts.hostname in hosts
        if hosts and not is_known and not elsewhere:
            return f"the host must be {' or '.join(hosts)}, as in {example}"
        if is_known and parts.scheme != "https":
            return f"the URL must begin with https://, as in {example}"
        if not (on_hosts if is_known else on_others).fullmatch(parts.path):
            return f"the path does not fit; it looks like {example}"
        if parts.query or parts.fragment:
            return "the URL must end with its path: no ? and no #"
        return None

    return UrlRule(example, check, is_secret)


def header_secret(value: str) -> str | None:
    """A secret that is sent in a header. Never repeats the value."""
    if not (value.isascii() and value.isprintable()) or " " in value:
        return "it holds a space, a line break or a letter outside ASCII"
    if len(value) > MAX_HEADER_VALUE_CHARS - len("Bearer "):
        return "it is too long for a header"
    return None


def matches(pattern: str, words: str) -> Callable[[str], str | None]:
    """A Field's check: `words` unless all of the value matches."""
    compiled = re.compile(pattern)
    return lambda value: None if compiled.fullmatch(value) else words
