"""What a custom header and a webhook URL may be. Pure; used by forms and, once more, before anything reaches libcurl."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

Headers = Iterable[tuple[str, str]]

MAX_URL_CHARS = 2048
MAX_HEADER_VALUE_CHARS = 4096

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2

# Ours to set, or the connection's; an endpoint's custom headers cannot touch them.
RESERVED_NAMES = frozenset(
    "connection content-encoding content-length content-type expect host keep-alive proxy-authorization "
    "proxy-connection te trailer traceparent tracestate transfer-encoding upgrade user-agent "
    "x-event-center-replay".split()
)
RESERVED_PREFIXES = ("webhook-", "ce-")

MAX_KNOWN_GOOD = 4096


def check_header(name: str, value: str) -> str | None:
    """What is wrong with a custom header, in words for its author; None when it may be sent. Never repeats the value."""
    if not TOKEN.fullmatch(name):
        return "a header's name is made of letters, digits and !#$%&'*+-.^_`|~"
    if is_reserved(name):
        return f"{name} is set by the Event Center and cannot be changed"
    if not (value.isascii() and value.isprintable()):
        return f"the value of {name} holds a line break, a control character or a letter outside ASCII"
    if len(value) > MAX_HEADER_VALUE_CHARS:
        return f"the value of {name} is longer than {MAX_HEADER_VALUE_CHARS} characters"
    if value != value.strip():
        return f"the value of {name} begins or ends with a space"
    return None


def is_reserved(name: str) -> bool:
    lowered = name.lower()
    return lowered in RESERVED_NAMES or lowered.startswith(RESERVED_PREFIXES)


class HeaderGuard:
    """Turns headers into libcurl's lines, refusing any that could change the request's shape.

    libcurl sends CR and LF in a value as they are, so this is the last check. Names recur, so good ones are remembered;
    not safe to share between threads.
    """

    def __init__(self) -> None:
        self._good_names: set[str] = set()

    def lines(self, headers: Headers) -> list[str] | None:
        """`name: value` lines; None when a header must not be sent."""
        good_names = self._good_names
        lines = []
        for name, value in headers:
            if name not in good_names and not self._learn(name):
                return None
            lines.append(f"{name}: {value}" if value else f"{name};")  # libcurl's way to write an empty value
        text = "".join(lines)
        return lines if text.isascii() and text.isprintable() else None

    def _learn(self, name: str) -> bool:
        if not TOKEN.fullmatch(name):
            return False
        if len(self._good_names) >= MAX_KNOWN_GOOD:
            self._good_names.clear()
        self._good_names.add(name)
        return True


def check_url(url: str) -> str | None:
    """What is wrong with a webhook URL, in words for its author; None when it may be called.

    Says nothing of where the host leads: that is decided by address, when connecting.
    """
    if len(url) > MAX_URL_CHARS:
        return f"the URL is longer than {MAX_URL_CHARS} characters"
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        return "the URL holds a space, a backslash, a control character or a letter outside ASCII"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is not a port
    except ValueError:
        return "the URL cannot be read"
    if parts.scheme not in ("http", "https"):
        return "the URL must begin with https:// or http://"
    if not parts.hostname:
        return "the URL has no host"
    if "@" in parts.netloc:
        return "the URL holds a user name or password; use a header instead"
    return None


class UrlGuard:
    """`check_url` that remembers good URLs; not safe to share between threads."""

    def __init__(self) -> None:
        self._good: set[str] = set()

    def refusal(self, url: str) -> str | None:
        if url in self._good:
            return None
        refusal = check_url(url)
        if refusal is None:
            if len(self._good) >= MAX_KNOWN_GOOD:
                self._good.clear()
            self._good.add(url)
        return refusal
