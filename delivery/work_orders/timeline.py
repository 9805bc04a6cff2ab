"""What happened to a work order: the trail's entries and the comments, as one line of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.models import AuditEntry
from delivery.models import WorkOrder, WorkOrderOutcome

WORDS = {
    "work_order.opened": "Opened",
    "work_order.started": "Taken in hand",
    "work_order.stopped": "Laid aside",
    "work_order.reopened": "Opened again",
    "work_order.linked": "Linked",
    "work_order.assigned": "Assigned",
    "work_order.closed": "Closed",
}
COMMENTED = "work_order.commented"
# The trail's clock is a little later than the row's.
SLACK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Step:
    """One point. `kind`: the trail's action, or "comment". `words` says what, `text` what was written."""

    at: datetime
    kind: str
    actor: str
    words: str
    text: str = ""


def timeline(order: WorkOrder) -> list[Step]:
    """Oldest first. Two queries. Index: audit_entry_chain_at, from the work order's own time on."""
    entries = AuditEntry.objects.filter(chain=order.tenant.slug, at__gte=order.opened_at - SLACK)
    own = entries.filter(target=f"work_order:{order.pk}").exclude(action=COMMENTED)
    steps = [Step(row.at, row.action, row.actor, WORDS.get(row.action, row.action), told(row.details)) for row in own]
    steps += [Step(row.at, "comment", row.author, "Comment", row.text) for row in order.comments.all()]
    return sorted(steps, key=lambda step: step.at)


def told(details: Mapping[str, object]) -> str:
    """An entry's details in words. Pure."""
    match details:
        case {"assignee": [_, after]}:
            return f"to {after}" if after else "to nobody"
        case {"to": to}:
            return f"to {to}"
        case {"outcome": str(outcome)}:
            text = str(details.get("outcome_text", ""))
            return ": ".join(part for part in (WorkOrderOutcome(outcome).label, text) if part)
    return ""
