"""What one pass finds: of which thing, by which rule, what was measured, and what is to become of its alert. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from delivery.alerting import quantities
from delivery.alerting.judge import Reading, Standing, Verdict
from delivery.alerting.kinds import KINDS, RuleKind
from delivery.alerting.rules import Rule
from delivery.alerts import Draft
from delivery.models import Alert, AlertState
from subscriptions.durations import duration_text


@dataclass(frozen=True, slots=True)
class Subject:
    """What an alert is about. `name`: of a role; endpoints and tenants have numbers."""

    kind: RuleKind
    tenant_id: int | None = None
    endpoint_id: int | None = None
    name: str = ""

    @property
    def dedup_key(self) -> str:
        """One open alert at a time has it."""
        what = self.name or self.endpoint_id or self.tenant_id
        return f"{self.kind.value}:{what}" if what else self.kind.value

    @classmethod
    def of(cls, alert: Alert) -> Subject:
        name = alert.dedup_key.partition(":")[2] if alert.tenant_id is None else ""
        return cls(RuleKind(alert.kind), alert.tenant_id, alert.endpoint_id, name)


@dataclass(frozen=True, slots=True)
class Finding:
    subject: Subject
    rule: Rule
    reading: Reading
    verdict: Verdict
    alert: Alert | None

    def with_verdict(self, verdict: Verdict) -> Finding:
        return replace(self, verdict=verdict)

    def details(self) -> dict[str, object]:
        """What was measured and by which measure, in the units of the kind."""
        kind, rule = KINDS[self.subject.kind], self.rule
        found: dict[str, object] = {
            "value": round(self.reading.value, 4),
            "threshold": rule.threshold,
            "unit": kind.unit,
        }
        if kind.window_s:
            found |= {"window_s": rule.window_s, "count": self.reading.count}
        return found | ({"role": self.subject.name} if self.subject.name else {})


def standing_of(alert: Alert | None) -> Standing | None:
    if alert is None:
        return None
    return Standing(alert.state == AlertState.FIRING, alert.raised_at, alert.well_since)


def draft_of(finding: Finding, place: str, now: datetime) -> Draft:
    """`place`: the name of what it is about."""
    subject, rule, kind = finding.subject, finding.rule, KINDS[finding.subject.kind]
    summary = kind.says.format(
        place=place,
        value=quantities.text(kind.unit, finding.reading.value),
        threshold=quantities.text(kind.unit, rule.threshold),
        window=duration_text(rule.window_s),
    )
    muted = rule.is_muted(now)
    about = (subject.tenant_id, subject.endpoint_id, finding.details(), muted)
    return Draft(kind.kind.value, subject.dedup_key, rule.severity, summary, *about)
