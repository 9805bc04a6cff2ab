"""A plan as text like a diff, and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from subscriptions.yaml_sync.plan import ADD, CHANGE, REMOVE, Change, Conflict, FieldChange, Plan, shown
from subscriptions.yaml_sync.problems import Problem

FORMAT = 1
REFUSED = "!"
WORDS = {ADD: "add", CHANGE: "change", REMOVE: "remove"}

Paint = Callable[[str, str], str]


def plain(sign: str, line: str) -> str:
    """A Paint: the line in the sign's colour; here in none."""
    return line


def plan_lines(plan: Plan, paint: Paint = plain) -> Iterator[str]:
    for change in plan.changes:
        yield from _change_lines(change, paint)
    for conflict in plan.conflicts:
        yield from _conflict_lines(conflict, paint)
    yield ", ".join(f"{count} {word}" for word, count in plan.counts().items())


def plan_json(plan: Plan, *, applied: bool) -> dict[str, object]:
    """`kind` and `where` name the object, `fields` hold values as the file has them, or a note in their stead."""
    return {
        "format": FORMAT,
        "applied": applied,
        "counts": plan.counts(),
        "changes": [_change_json(change) for change in plan.changes],
        "conflicts": [asdict(conflict) for conflict in plan.conflicts],
    }


def problems_json(problems: Sequence[Problem]) -> dict[str, object]:
    return {"format": FORMAT, "applied": False, "problems": [asdict(problem) for problem in problems]}


def _change_lines(change: Change, paint: Paint) -> Iterator[str]:
    text = f"  {change.text}" if change.text else ""
    yield paint(change.sign, f"{change.sign} {change.kind} {change.where}{text}")
    for item in change.fields:
        yield from _field_lines(item, paint)


def _field_lines(item: FieldChange, paint: Paint) -> Iterator[str]:
    if item.note:
        yield paint(CHANGE, f"    {CHANGE} {item.name}: {item.note}")
        return
    for sign, value in ((REMOVE, item.before), (ADD, item.after)):
        if value is not None:
            yield paint(sign, f"    {sign} {item.name}: {shown(value)}")


def _conflict_lines(conflict: Conflict, paint: Paint) -> Iterator[str]:
    yield paint(REFUSED, f"{REFUSED} {conflict.kind} {conflict.where} {conflict.problem} ({conflict.option} to go on)")
    for item in conflict.fields:
        yield paint(REFUSED, f"    {item.name}: file {item.file}; last applied {item.applied}; now {item.current}")


def _change_json(change: Change) -> dict[str, object]:
    fields = [
        {"name": item.name} | ({"note": item.note} if item.note else {"before": item.before, "after": item.after})
        for item in change.fields
    ]
    known: dict[str, object] = {
        "action": WORDS[change.sign],
        "kind": change.kind,
        "where": change.where,
        "fields": fields,
    }
    return known | ({"text": change.text} if change.text else {})
