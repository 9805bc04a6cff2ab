"""What a sync did, or would do, and why it may not. Pure. None of it holds a secret, a header's value or that of a variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ADD, CHANGE, REMOVE = "+", "~", "-"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """`before` and `after`: None is "not set". With a `note` it is told instead of the values."""

    name: str
    before: object = None
    after: object = None
    note: str = ""

    def __str__(self) -> str:
        after = shown(self.after)
        return self.note or (after if self.before is None else f"{shown(self.before)} → {after}")


@dataclass(frozen=True, slots=True)
class Change:
    """`sign` is one of ADD, CHANGE and REMOVE; `text` is for people."""

    sign: str
    kind: str
    where: str
    text: str = ""
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class DriftedField:
    """One value as the file has it, as the last sync set it, and as it is now."""

    name: str
    file: str
    applied: str
    current: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why the file may not be applied. `option` is what would let it pass."""

    kind: str
    where: str
    problem: str
    option: str
    fields: tuple[DriftedField, ...] = ()


@dataclass(slots=True)
class Plan:
    changes: list[Change] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    unchanged: int = 0

    def counts(self) -> dict[str, int]:
        signs = {"added": ADD, "changed": CHANGE, "removed": REMOVE}
        counted = {word: sum(change.sign == sign for change in self.changes) for word, sign in signs.items()}
        return counted | {"unchanged": self.unchanged}


class SyncRefusedError(Exception):
    """The plan has conflicts; nothing was changed."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(f"{len(plan.conflicts)} of the file's objects may not be changed")
        self.plan = plan


def shown(value: object) -> str:
    """As the file writes it, short enough for a line."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {shown(item)}" for name, item in value.items()) + "}"
    return str(value) or '""'
