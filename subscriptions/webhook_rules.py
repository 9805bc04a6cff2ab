"""What a webhook's URL and custom headers may be. Pure; for forms and files, and once more before anything is sent."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

MAX_URL_CHARS = 2000  # Endpoint.url
MAX_HEADER_VALUE_CHARS = 4096
MAX_HEADERS = 32

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2

# Ours to set, or the connection's; an endpoint's custom headers cannot touch them.
RESERVED_NAMES = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-event-center-replay",
        "x-event-center-test",
    }
)
RESERVED_PREFIXES = ("webhook-", "ce-")


def is_reserved(name: str) -> bool:
    lowered = name.lower()
    return lowered in RESERVED_NAMES or lowered.startswith(RESERVED_PREFIXES)


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


def origin(url: str) -> str:
    """Scheme and host of a URL, for people: the rest may hold a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}/…" if url else "none"


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


def without_query(url: str) -> str:
    """A token is most often there."""
    parts = urlsplit(url)
    return parts._replace(query="", fragment="").geturl() if parts.query or parts.fragment else url
