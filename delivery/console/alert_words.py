"""What an alert and its calls are called on pages. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from delivery.alerting.kinds import KINDS, RuleKind
from delivery.console.wording import span_words
from delivery.models import Alert, Page, PageAction

MEASURED = ("value", "threshold", "window_s")
ACTION_WORDS = {PageAction.TRIGGER: "Called", PageAction.ACKNOWLEDGE: "Told: in hand", PageAction.RESOLVE: "Told: over"}
HIDDEN_CONTACT = "the platform's people"


@dataclass(frozen=True, slots=True)
class Said:
    """One call for the timeline. `words`: what came of it; `waits`: it is still to be sent."""

    page: Page
    what: str
    who: str
    words: str
    tone: str
    waits: bool


def measures(alert: Alert) -> list[tuple[str, str]]:
    """Value, threshold and window in the unit of the kind; what the alert does not say is left out."""
    unit = KINDS[RuleKind(alert.kind)].unit if alert.kind in RuleKind.values else ""
    units = {"value": unit, "threshold": unit, "window_s": "seconds"}
    labels = {"value": "Value", "threshold": "Threshold", "window_s": "Window"}
    found = ((name, alert.details.get(name)) for name in MEASURED)
    return [(labels[name], quantity(units[name], value)) for name, value in found if _is_number(value)]


def other_details(alert: Alert) -> list[tuple[str, str]]:
    """The rest of the details: what is nested is left to the API."""
    rest = ((name, value) for name, value in alert.details.items() if name not in (*MEASURED, "unit"))
    return [(_label(name), str(value)) for name, value in rest if isinstance(value, str | int | float) and value != ""]


def calls_of(pages: Sequence[Page], names: Mapping[int, str]) -> list[Said]:
    return [_said(page, names.get(page.contact_id, HIDDEN_CONTACT)) for page in pages]


def quantity(unit: str, value: object) -> str:
    """7.3 %, 4 m 10 s, 10,000."""
    assert isinstance(value, int | float)
    if unit == "share":
        return f"{value * 100:.3g} %"
    if unit == "seconds":
        return span_words(value) if value >= 10 else f"{value:.3g} s"
    return f"{value:,.0f}"


def _said(page: Page, who: str) -> Said:
    what = ACTION_WORDS[PageAction(page.action)]
    if page.sent_at is not None:
        return Said(page, what, who, "taken", "good", waits=False)
    if page.next_at is None:
        return Said(page, what, who, f"given up: {page.error.rstrip('.')}", "bad", waits=False)
    words = f"not yet: {page.error.rstrip('.')}" if page.error else "waits to be sent"
    return Said(page, what, who, words, "warn" if page.error else "info", waits=True)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()
