"""Which rule holds for one thing: its own, its tenant's, everybody's, or the kind's defaults. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from delivery.alerting.kinds import KINDS, Kind, RuleKind

Place = tuple[str, int | None, int | None]  # kind, tenant, endpoint; of an endpoint's rule the tenant is left out


@dataclass(frozen=True, slots=True)
class Rule:
    """`stored`: some row says it; else these are the defaults of the kind."""

    kind: RuleKind
    threshold: float
    clear_below: float
    window_s: int
    minimum_count: int
    for_s: int
    clear_for_s: int
    severity: str
    enabled: bool = True
    muted_until: datetime | None = None
    stored: bool = False

    def is_muted(self, now: datetime) -> bool:
        return self.muted_until is not None and self.muted_until > now


def default_rule(kind: Kind) -> Rule:
    return Rule(
        kind=kind.kind,
        threshold=kind.threshold,
        clear_below=kind.clear_below,
        window_s=kind.window_s,
        minimum_count=kind.minimum_count,
        for_s=kind.for_s,
        clear_for_s=kind.clear_for_s,
        severity=kind.severity,
    )


DEFAULTS = {kind.kind: default_rule(kind) for kind in KINDS.values()}


def place_of(kind: str, tenant_id: int | None, endpoint_id: int | None) -> Place:
    """Where a row's rule stands in `Rules`."""
    return (kind, None, endpoint_id) if endpoint_id is not None else (kind, tenant_id, None)


class Rules:
    """All stored rules by their places."""

    def __init__(self, stored: Mapping[Place, Rule]) -> None:
        self._stored = dict(stored)
        self._narrow = {place[0] for place in stored if place[1] is not None or place[2] is not None}

    def of(self, kind: RuleKind, tenant_id: int | None = None, endpoint_id: int | None = None) -> Rule:
        """The narrowest one."""
        if kind.value in self._narrow:
            for place in ((kind.value, None, endpoint_id), (kind.value, tenant_id, None)):
                if place[1:] != (None, None) and (found := self._stored.get(place)):
                    return found
        return self._stored.get((kind.value, None, None)) or DEFAULTS[kind]

    def switched_off(self, kind: RuleKind) -> set[int]:
        """Endpoints for which a rule of their own says that there is none."""
        own = ((place[2], rule) for place, rule in self._stored.items() if place[0] == kind.value)
        return {endpoint_id for endpoint_id, rule in own if endpoint_id is not None and not rule.enabled}

    def windows(self, kinds: tuple[RuleKind, ...]) -> set[int]:
        """Every window that some rule of these kinds looks at, in seconds."""
        wanted = {kind.value for kind in kinds}
        found = {rule.window_s for place, rule in self._stored.items() if place[0] in wanted and rule.enabled}
        return found | {rule.window_s for kind in kinds if (rule := self.of(kind)).enabled}
