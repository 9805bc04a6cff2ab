"""What a sync did, or would do, in the words of a diff. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Change:
    """`sign` is +, ~ or -; `text` holds no header value, secret or value of a variable."""

    sign: str
    kind: str
    where: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.sign} {self.kind} {self.where}" + (f"  {self.text}" if self.text else "")


@dataclass(slots=True)
class Plan:
    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0

    def note(self, change: Change | None) -> None:
        if change is None:
            self.unchanged += 1
        else:
            self.changes.append(change)

    def lines(self) -> Iterator[str]:
        yield from (str(change) for change in self.changes)
        counts = {sign: sum(change.sign == sign for change in self.changes) for sign in "+~-"}
        yield f"{counts['+']} added, {counts['~']} changed, {counts['-']} removed, {self.unchanged} unchanged"


def difference(before: object, after: object) -> str:
    """`old → new`, short enough for a line."""
    return f"{_shown(before)} → {_shown(after)}"


def _shown(value: object) -> str:
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return "[" + ", ".join(value) + "]"
    return str(value)
