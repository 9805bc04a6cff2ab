"""A work order's moves and bounds. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from delivery.models import AlertSeverity, LinkKind, WorkOrderOrigin, WorkOrderOutcome, WorkOrderState

TITLE_LENGTH_MOST = 200
TEXT_LENGTH_MOST = 4_000

LEGAL_MOVES: dict[WorkOrderState, frozenset[WorkOrderState]] = {
    WorkOrderState.OPEN: frozenset({WorkOrderState.IN_PROGRESS, WorkOrderState.CLOSED}),
    WorkOrderState.IN_PROGRESS: frozenset({WorkOrderState.OPEN, WorkOrderState.CLOSED}),
    WorkOrderState.CLOSED: frozenset({WorkOrderState.OPEN}),
}


@dataclass(frozen=True, slots=True)
class Move:
    """One action: what it is called in the trail, from where it may be made, and where it leads."""

    action: str
    sources: tuple[WorkOrderState, ...]
    to: WorkOrderState


MOVES = {
    "start": Move("work_order.started", (WorkOrderState.OPEN,), WorkOrderState.IN_PROGRESS),
    "stop": Move("work_order.stopped", (WorkOrderState.IN_PROGRESS,), WorkOrderState.OPEN),
    "reopen": Move("work_order.reopened", (WorkOrderState.CLOSED,), WorkOrderState.OPEN),
}
CLOSE = Move("work_order.closed", (WorkOrderState.OPEN, WorkOrderState.IN_PROGRESS), WorkOrderState.CLOSED)


def actions_of(state: str) -> list[str]:
    return [name for name, move in {**MOVES, "close": CLOSE}.items() if state in move.sources]


@dataclass(frozen=True, slots=True)
class Draft:
    """A work order before it is opened. `links`: what it is about."""

    tenant_id: int
    title: str
    body: str = ""
    severity: str = AlertSeverity.WARNING
    origin: WorkOrderOrigin = WorkOrderOrigin.HAND
    links: tuple[tuple[LinkKind, UUID], ...] = field(default=())


def problems_of(draft: Draft) -> dict[str, str]:
    """Field → what it takes."""
    found = {}
    if not draft.title.strip() or len(draft.title) > TITLE_LENGTH_MOST or not draft.title.isprintable():
        found["title"] = f"takes one line of 1 to {TITLE_LENGTH_MOST} characters"
    if words := refusal_of_text(draft.body, may_be_empty=True):
        found["body"] = words
    if draft.severity not in AlertSeverity.values:
        found["severity"] = f"takes one of {', '.join(AlertSeverity.values)}"
    return found


def refusal_of_text(text: str, *, may_be_empty: bool = False) -> str:
    if (may_be_empty or text.strip()) and len(text) <= TEXT_LENGTH_MOST and "\0" not in text:
        return ""
    return f"takes {'' if may_be_empty else '1 to '}{'at most ' if may_be_empty else ''}{TEXT_LENGTH_MOST:,} characters"


def refusal_of_closing(outcome: str, text: str) -> dict[str, str]:
    found = {}
    if outcome not in WorkOrderOutcome.values:
        found["outcome"] = f"takes one of {', '.join(WorkOrderOutcome.values)}"
    if words := refusal_of_text(text, may_be_empty=True):
        found["text"] = words
    return found
