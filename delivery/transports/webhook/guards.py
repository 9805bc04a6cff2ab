"""The last look at headers and URLs before they reach libcurl. The rules are `subscriptions.webhook_rules`."""

from __future__ import annotations

from collections.abc import Iterable

from subscriptions.webhook_rules import TOKEN, check_url

# Names and URLs recur, so good ones are remembered, up to this many.
MAX_KNOWN_GOOD = 4096


class HeaderGuard:
    """Turns headers into libcurl's lines, refusing any that could change the request's shape.

    libcurl sends CR and LF in a value as they are, so nothing else would. Not safe to share between threads.
    """

    def __init__(self) -> None:
        self._good_names: set[str] = set()

    def lines(self, headers: Iterable[tuple[str, str]]) -> list[str] | None:
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
