"""What somebody who types into a search box means. Pure.

By plugin, version, trace, or by the id of anything that has one. `plugin@version` and `plugin version` name a release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

LENGTH_MOST = 300
_TRACE = re.compile(r"[0-9a-f]{32}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_VERSION = re.compile(r"v?\d+(\.\w[\w.+-]*)+")  # 1.2, v4.14.0, 2.0.0-rc.1+build.5


@dataclass(frozen=True, slots=True)
class Sought:
    """What may be meant; all that is set must hold, but for `id` and `trace_id`: 32 hex digits may be either of them.

    `plugin` is an event's subject, `version` its data's version, each exactly.
    """

    id: UUID | None = None
    trace_id: str = ""
    plugin: str = ""
    version: str = ""

    def __bool__(self) -> bool:
        return self != Sought()


def sought(text: str) -> Sought:
    """Of an empty text, or one with what no name holds (U+0000), nothing is sought."""
    words = text.strip()[:LENGTH_MOST]
    if not words or not words.isprintable():
        return Sought()
    return _by_id(words.lower()) or _by_release(words)


def _by_id(word: str) -> Sought | None:
    if match := _TRACEPARENT.fullmatch(word):
        return Sought(trace_id=match[1])
    if _TRACE.fullmatch(word):
        return Sought(UUID(word), word)
    try:
        return Sought(UUID(word)) if len(word) == 36 else None
    except ValueError:
        return None


def _by_release(words: str) -> Sought:
    if _VERSION.fullmatch(words):
        return Sought(version=words)
    for separator in ("@", " "):
        plugin, _, version = words.rpartition(separator)
        if plugin and version and (separator == "@" or _VERSION.fullmatch(version)):
            return Sought(plugin=plugin.strip(), version=version.strip())
    return Sought(plugin=words)
