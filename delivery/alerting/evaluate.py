"""One pass over all rules: what was measured is judged, and what changes is written, alert by alert.

Two evaluators at once do no harm: each change is a conditional one of delivery.alerts, and who comes second changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError

from delivery import alerts
from delivery.alerting import measures, rule_rows
from delivery.alerting.findings import Finding, Subject, draft_of, standing_of
from delivery.alerting.judge import NO_READING, Reading, Verdict, judge, over
from delivery.alerting.kinds import KINDS, RuleKind
from delivery.alerting.places import Places
from delivery.alerting.rules import Rules
from delivery.models import Alert, AlertState
from delivery.telemetry import gauges

logger = logging.getLogger(__name__)

EVERY = timedelta(seconds=15)
# After so long without a pass (a start, another leader before) processes are given time to be seen again.
GAP = 2 * EVERY
# An endpoint with an open alert of these kinds is known to fail: its failures are not its tenant's, too.
FAILING = (
    RuleKind.FAILURE_RATE,
    RuleKind.SIGNATURE_REFUSED,
    RuleKind.BREAKER_OPEN,
    RuleKind.DEAD_LETTERS,
    RuleKind.ENDPOINT_FAILING,
    RuleKind.ENDPOINT_DISABLED,
)
MEASURED = frozenset(kind.kind.value for kind in KINDS.values() if kind.measured)
OPEN_AFTER = (Verdict.PENDING, Verdict.FIRES)
SHUT_AFTER = (Verdict.PASSES, Verdict.RESOLVES)


class PartlyFailed(Exception):
    """A pass came through, but not with everything; what failed is in the log."""


class Evaluator:
    """Kept by the process that evaluates; `step` is called EVERY."""

    def __init__(self) -> None:
        self._began: datetime | None = None
        self._last: datetime | None = None

    def step(self, now: datetime) -> None:
        """Raises PartlyFailed at the end of a pass in which something failed, and at once what stops the whole pass."""
        if self._began is None or self._last is None or now - self._last > GAP:
            self._began = now
        try:
            failed = _Pass(now, self._began).run()
        except (OperationalError, InterfaceError):  # nobody could give a sign of life: the time for it begins anew
            self._last = None
            raise
        self._last = now
        if failed:
            raise PartlyFailed(f"{failed} parts of the pass failed.")


class _Pass:
    def __init__(self, now: datetime, began: datetime) -> None:
        self.now, self.began, self.failed = now, began, 0
        self.rules: Rules = rule_rows.load()
        # Index: alert_open_once_a_key.
        self.open = {alert.dedup_key: alert for alert in Alert.objects.filter(resolved_at=None).order_by()}

    def run(self) -> int:
        """How many parts of it failed."""
        findings = list(self._findings())
        places = Places.of(finding.subject for finding in findings)
        for finding in findings:
            with self._guarded(finding.subject.dedup_key):
                self._carry_out(finding if places.is_there(finding.subject) else self._gone(finding), places)
        with self._guarded("going_on"):
            self._note_going_on(findings)
        for alert in self.open.values():
            with self._guarded(alert.dedup_key):
                self._follow_rule(alert)
        return self.failed

    @contextmanager
    def _guarded(self, part: str) -> Iterator[None]:
        """One alert that cannot be written, or one measure that cannot be read, costs itself and no other. A lost database
        is raised."""
        try:
            yield
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            self.failed += 1
            logger.exception("alerting.part_failed", extra={"part": part})

    def _findings(self) -> Iterator[Finding]:
        """What changes, and every alert that is open; endpoints before tenants."""
        windows = measures.by_window(self.rules.windows(measures.WINDOWED), self.now)
        own = [*self._of_counters(windows), *self._of_breakers()]
        yield from own
        yield from self._of_tenants(windows, self._failing(own))
        yield from self._of_publishers()
        yield from self._of_platform()

    def _of_counters(self, windows: measures.Windows) -> Iterator[Finding]:
        endpoints = {pk: found.tenant_id for each in windows.values() for pk, found in each.items()}
        for kind in measures.PER_ENDPOINT:
            readings: dict[Subject, Reading | None] = {}
            for endpoint_id, tenant_id in endpoints.items():
                found = windows.get(self.rules.of(kind, tenant_id, endpoint_id).window_s, {}).get(endpoint_id)
                if found is not None:
                    readings[Subject(kind, tenant_id, endpoint_id)] = measures.endpoint_reading(kind, found)
            yield from self._judged(kind, readings)

    def _of_breakers(self) -> Iterator[Finding]:
        found = measures.open_breakers()
        kind = RuleKind.BREAKER_OPEN
        return self._judged(kind, {Subject(kind, *place): reading for place, reading in found.items()})

    def _failing(self, own: list[Finding]) -> set[int | None]:
        """Endpoints with an alert of their own, once this pass is done."""
        shut = {finding.subject.dedup_key for finding in own if finding.verdict in SHUT_AFTER}
        left = (alert for key, alert in self.open.items() if alert.kind in FAILING and key not in shut)
        opened = (found.subject for found in own if found.subject.kind in FAILING and found.verdict in OPEN_AFTER)
        return {alert.endpoint_id for alert in left} | {subject.endpoint_id for subject in opened}

    def _of_tenants(self, windows: measures.Windows, failing: set[int | None]) -> Iterator[Finding]:
        kind = RuleKind.TENANT_FAILURE_RATE
        without = {pk for pk in failing if pk is not None} | self.rules.switched_off(RuleKind.FAILURE_RATE)
        by_window = {window_s: measures.tenant_readings(found, without) for window_s, found in windows.items()}
        yield from self._of_window(kind, by_window)

    def _of_publishers(self) -> Iterator[Finding]:
        kind = RuleKind.PUBLISH_SIGNATURE
        yield from self._of_window(kind, measures.wrong_signatures(self.rules.windows((kind,)), self.now))

    def _of_window(self, kind: RuleKind, by_window: dict[int, dict[int, Reading]]) -> Iterator[Finding]:
        """By tenant, each as its rule's window has it."""
        readings = {
            Subject(kind, tenant_id): reading
            for window_s, found in by_window.items()
            for tenant_id, reading in found.items()
            if self.rules.of(kind, tenant_id).window_s == window_s
        }
        return self._judged(kind, readings)

    def _of_platform(self) -> Iterator[Finding]:
        """Gauges that cannot be read are not known: their alerts stay as they are."""
        with self._guarded("gauges"):
            for kind, reading in measures.platform_readings(gauges.read(self.now)).items():
                yield from self._judged(kind, {Subject(kind): reading})
        missing = RuleKind.PROCESS_MISSING
        found = measures.silence(self.began, self.now)
        yield from self._judged(missing, {Subject(missing, name=role): reading for role, reading in found.items()})

    def _judged(self, kind: RuleKind, readings: Mapping[Subject, Reading | None]) -> Iterator[Finding]:
        """Of these readings, and of the kind's open alerts of which there is none. A reading of None is not known: what is,
        stays."""
        known = {subject.dedup_key for subject in readings}
        silent = (alert for key, alert in self.open.items() if alert.kind == kind and key not in known)
        for subject, reading in {**readings, **{Subject.of(alert): NO_READING for alert in silent}}.items():
            alert_of = self.open.get(subject.dedup_key)
            rule = self.rules.of(kind, subject.tenant_id, subject.endpoint_id)
            verdict = judge(reading, rule, standing_of(alert_of), self.now) if reading else Verdict.NOTHING
            if alert_of is not None or verdict is not Verdict.NOTHING:
                yield Finding(subject, rule, reading or NO_READING, verdict, alert_of)

    def _gone(self, finding: Finding) -> Finding:
        """Its endpoint is deleted or disabled, or its tenant inactive."""
        return finding.with_verdict(over(standing_of(finding.alert)))

    def _carry_out(self, finding: Finding, places: Places) -> None:
        verdict, alert = finding.verdict, finding.alert
        if verdict in OPEN_AFTER:
            self._open(finding, places)
        elif alert is None:
            return
        elif verdict is Verdict.PASSES:
            alerts.pass_away(alert.pk)
        elif verdict is Verdict.RESOLVES:
            alerts.resolve(alert.dedup_key, self.now)
        elif verdict in (Verdict.WELL, Verdict.UNWELL):
            alerts.turn(alert.pk, self.now if verdict is Verdict.WELL else None)

    def _open(self, finding: Finding, places: Places) -> None:
        draft = draft_of(finding, places.name(finding.subject), self.now)
        if finding.verdict is Verdict.PENDING:
            alerts.open_pending(draft, self.now)
        elif finding.alert is None:
            alerts.open_firing(draft, self.now)
        else:
            alerts.fire(finding.alert.pk, draft, self.now)

    def _note_going_on(self, findings: list[Finding]) -> None:
        """When each was last seen to hold, and what was measured. One statement."""
        going_on = [f for f in findings if f.alert and f.verdict in (Verdict.GOES_ON, Verdict.UNWELL)]
        rows = []
        for finding in going_on:
            assert finding.alert is not None
            finding.alert.last_at = self.now
            finding.alert.details = {**finding.alert.details, **finding.details()}
            rows.append(finding.alert)
        if rows:
            Alert.objects.bulk_update(rows, ["last_at", "details"])

    def _follow_rule(self, alert: Alert) -> None:
        """What a person changed about a rule while its alert fires."""
        if alert.state != AlertState.FIRING or alert.kind not in RuleKind.values:
            return
        rule = self.rules.of(RuleKind(alert.kind), alert.tenant_id, alert.endpoint_id)
        if not rule.enabled:
            alerts.resolve(alert.dedup_key, self.now)
        elif not rule.is_muted(self.now):
            if alert.muted:
                alerts.end_mute(alert.pk, self.now)
            if alert.severity != rule.severity and (rule.stored or alert.kind in MEASURED):
                alerts.rank_again(alert.pk, rule.severity, self.now)
