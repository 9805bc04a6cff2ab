"""What the exporters of our rules to other systems share: what may be said elsewhere, and in which words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from delivery.alerting.kinds import KINDS, Kind, RuleKind, Scope

# Nothing that is measured says these: they are alerts of Event Center alone.
OURS_ALONE: Final = frozenset({RuleKind.ENDPOINT_FAILING, RuleKind.ROTATION_DUE, RuleKind.AUDIT_BROKEN})
SAID_ELSEWHERE: Final = tuple(kind for kind in KINDS.values() if kind.kind not in OURS_ALONE)
# Where the shipped files say that the runbook is: what `make run` and compose.yaml serve.
SHIPPED_RUNBOOK: Final = "http://127.0.0.1:8000/runbook"
LABELS: Final = {Scope.ENDPOINT: ("tenant", "endpoint"), Scope.TENANT: ("tenant",), Scope.PLATFORM: ()}
PER_ROLE: Final = ("role",)


def labels_of(kind: Kind) -> tuple[str, ...]:
    """What one alert of the kind is about, by labels (tags) of its metrics."""
    return PER_ROLE if kind.kind is RuleKind.PROCESS_MISSING else LABELS[kind.scope]


def name_of(kind: Kind) -> str:
    """failure_rate → EventCenterFailureRate."""
    words = kind.runbook.split("-")
    return "EventCenter" + "".join(word.capitalize() for word in words)


def says(kind: Kind, label: str, value: Mapping[str, str]) -> str:
    """The sentence of an alert, with another system's placeholders: `label` with {} for a label's name, `value` by unit."""
    place = "/".join(label.format(name) for name in labels_of(kind))
    words = kind.says or "{place} is disabled"
    window = f"{kind.window_s // 60} min"
    return words.format(place=place, value=value[kind.unit], threshold=number(kind.threshold), window=window)


def number(value: float) -> str:
    """As a query has it: 0.05, 10000."""
    return f"{value:g}" if value < 1_000 else f"{value:.0f}"
