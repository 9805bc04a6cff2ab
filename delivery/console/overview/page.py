"""What the page shows, read for one reader: the part that is told at once, and the part that changes by the minute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db.models import Max

from delivery.alerting.kinds import KINDS, RuleKind
from delivery.alerting.kinds import Scope as AlertScope
from delivery.alerting.measures import OPTIONAL_ROLES, RETIRED_AFTER
from delivery.console.overview import changes, figures, plots, trouble, waiting
from delivery.console.overview.period import Period
from delivery.console.overview.scope import Scope, of_tenants
from delivery.console.overview.verdict import Facts, verdict
from delivery.models import Alert, AlertSeverity, AlertState, Delivery
from delivery.objectives.reading import Span
from delivery.objectives.report import Report
from delivery.telemetry.remembered import Remembered, StepMemory
from delivery.telemetry.sums import Sums
from eventcenter.health import ROLES, SILENT_AFTER
from eventcenter.models import Heartbeat

ALERTS_READ, ALERTS_SHOWN = 200, 8
TENANTS_SHOWN = 50
RANK = {AlertSeverity.CRITICAL: 0, AlertSeverity.WARNING: 1, AlertSeverity.INFO: 2}
LONG_AGO = timedelta(days=36_500)
_steps = StepMemory()
_latest: Remembered[dict[datetime, Sums]] = Remembered()  # for who looks within the same moments


def forget() -> None:
    """All that this process remembers for the page."""
    _steps.forget()
    _latest.forget()
    figures.forget()
    waiting.forget()


def now_part(scope: Scope, period: Period, found: Report, now: datetime) -> dict[str, object]:
    """The sentence, the figures, endpoints in trouble, alerts, changes, processes: as they are at this moment."""
    span = period.span(now)
    alerts = open_alerts(scope)
    firing = [alert for alert in alerts if alert.state == AlertState.FIRING]
    every = trouble.troubled(scope.tenants, firing)
    shown = every[: trouble.SHOWN_MOST]
    waits = waiting.waiting(now, scope.tenants)
    missing = missing_processes(now)
    facts = _facts(missing, firing, every, found, waits, period)
    return {
        "verdict": verdict(facts),
        "figures": figures.figures(found, waits, scope.slug, span.since),
        "sees_platform": scope.is_all,
        "platform": figures.of_platform(waiting.platform(now)) if scope.is_all else [],
        "troubled": trouble.with_held(shown, trouble.held(shown)),
        "troubled_count": len(every),
        "alerts": alerts[:ALERTS_SHOWN],
        "alerts_count": len(alerts),
        "changes": changes.recent(scope.chains),
        "tells_changes": scope.chains is None or bool(scope.chains),
        "missing": sorted(missing.items()),
    }


def minute_part(scope: Scope, period: Period, found: Report, now: datetime) -> dict[str, object]:
    """The charts and the tenants; the counters' last full minute is the newest that is in them."""
    span = period.span(now)
    asked = (span.since, span.until, period.step, scope.tenants)
    steps = _latest.read(asked, lambda: _steps.read(*asked, now), lambda _: figures.GOOD_FOR_S)
    rows = figures.rows(found, span.since)
    return {
        "charts": plots.charts(steps, period.step, span.until),
        "rows": rows[:TENANTS_SHOWN],
        "more_rows": max(len(rows) - TENANTS_SHOWN, 0),
        "missed_rows": sum(row.standing.is_missed for row in rows),
    }


def standings(scope: Scope, span: Span) -> Report:
    return figures.standings(span.since, span.until, scope.tenants, scope.names)


def is_fresh(scope: Scope, found: Report) -> bool:
    """Nothing was ever delivered here. Index: primary key, or delivery_delivery_tenant."""
    return not found.tenants and not of_tenants(Delivery.objects.all(), scope.tenants).exists()


def open_alerts(scope: Scope) -> list[Alert]:
    """The gravest first, then the longest. Index: alert_open_once_a_key."""
    rows = of_tenants(Alert.objects.filter(resolved_at=None), scope.tenants).order_by()
    return sorted(rows[:ALERTS_READ], key=_gravity)


def missing_processes(now: datetime) -> dict[str, datetime | None]:
    """Role → when it was last seen; as alert rules count them, but at once. A scan: a row a process."""
    rows = Heartbeat.objects.filter(seen_at__gt=now - RETIRED_AFTER).order_by()
    seen: dict[str, datetime] = dict(rows.values_list("role").annotate(last=Max("seen_at")))
    looked_at = (*ROLES, *(role for role in OPTIONAL_ROLES if role in seen))
    return {role: seen.get(role) for role in looked_at if now - seen.get(role, now - LONG_AGO) > SILENT_AFTER}


def _gravity(alert: Alert) -> tuple[bool, int, datetime]:
    rank = RANK.get(AlertSeverity(alert.severity), len(RANK))
    return alert.state != AlertState.FIRING, rank, alert.fired_at or alert.raised_at


def _facts(
    missing: dict[str, datetime | None],
    firing: Sequence[Alert],
    every: Sequence[trouble.Troubled],
    found: Report,
    waits: waiting.Waiting,
    period: Period,
) -> Facts:
    ours = [alert for alert in firing if _is_of(alert, AlertScope.PLATFORM)]
    tenants = [alert for alert in firing if _is_of(alert, AlertScope.TENANT)]
    objectives = found.all.objectives
    return Facts(
        missing=missing,
        ours=_told(ours),
        troubled=every,
        tenant_alerts=_told(tenants),
        missed=[each for each in objectives if each.met is False],
        late_s=waits.oldest_due_s if waits.is_late else None,
        is_counted=any(each.met is not None for each in objectives),
        period=period.title.lower(),
    )


def _is_of(alert: Alert, scope: AlertScope) -> bool:
    return alert.kind in RuleKind.values and KINDS[RuleKind(alert.kind)].scope is scope


def _told(alerts: Iterable[Alert]) -> list[tuple[datetime, str]]:
    return [(alert.fired_at or alert.raised_at, alert.summary) for alert in alerts]
