"""The written form of a trail, pure: JSON Lines, one entry or one signed head a line. docs/operations/audit.md explains it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime

from audit.chain import Link
from audit.heads import Head, HeadError, parse
from audit.verify import Stored

ENTRY, HEAD = "entry", "head"
FIELD_TYPES = {
    "chain": str,
    "position": int,
    "actor": str,
    "address": str,
    "action": str,
    "target": str,
    "details": dict,
}


class ExportError(ValueError):
    """A line that is neither an entry nor a head. Names the line."""


@dataclass(slots=True)
class Exported:
    """What a file holds, in its order."""

    entries: dict[str, list[Stored]] = field(default_factory=dict)
    heads: list[Head] = field(default_factory=list)


def entry_data(entry: Stored) -> dict[str, object]:
    fields = asdict(entry.link) | {"at": entry.link.at.isoformat(timespec="microseconds")}
    return fields | {"previous": entry.previous.hex(), "digest": entry.digest.hex()}


def entry_line(entry: Stored) -> str:
    return _line({"kind": ENTRY} | entry_data(entry))


def head_line(head: Head) -> str:
    return _line({"kind": HEAD} | head.as_json())


def read(lines: Iterable[str]) -> Exported:
    """Raises ExportError."""
    found = Exported()
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            _take(found, json.loads(text))
        except (ValueError, TypeError, KeyError, HeadError) as error:
            raise ExportError(f"line {number} is neither an entry nor a head: {error}") from None
    return found


def _take(found: Exported, data: object) -> None:
    if not isinstance(data, dict):
        raise ValueError("it takes a JSON object")
    kind = data.pop("kind")
    if kind == HEAD:
        found.heads.append(parse(data))
    elif kind == ENTRY:
        entry = _entry(data)
        found.entries.setdefault(entry.link.chain, []).append(entry)
    else:
        raise ValueError(f"kind takes {ENTRY} or {HEAD}")


def _entry(data: dict[str, object]) -> Stored:
    previous, own = bytes.fromhex(str(data.pop("previous"))), bytes.fromhex(str(data.pop("digest")))
    at = datetime.fromisoformat(str(data.pop("at")))
    types = {name: type(value) for name, value in data.items()}
    if types != FIELD_TYPES:
        raise ValueError("it takes " + ", ".join(f"{name} ({kind.__name__})" for name, kind in FIELD_TYPES.items()))
    return Stored(Link(**data, at=at), previous, own)  # type: ignore[arg-type]  # just checked


def _line(data: dict[str, object]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
