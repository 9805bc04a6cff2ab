"""Alerts: one open row for each thing that a person should look at. The only place that opens, changes or ends one.

States: pending (a rule holds, though not yet for long enough) → firing → resolved. What other code raises by itself fires at
once. Whom a firing alert calls is its incident's matter (delivery.alerting.incidents), which is told here, in the alert's
transaction: `joined` when it fires, rises in severity or its mute ends; `left` when it is resolved. A muted alert calls
nobody. Whoever comes second in a race changes nothing.

In the audit trail: fired, changed in severity, mute over, resolved. What is pending was never said: it is in the log only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.alerting import incidents, rule_rows
from delivery.alerting.kinds import KINDS, RuleKind
from delivery.alerting.pages import RANK
from delivery.alerting.rules import Rule
from delivery.models import Alert, AlertSeverity, AlertState
from subscriptions.models import Tenant

logger = logging.getLogger(__name__)

ACTOR = Actor("system:alerts")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a new alert says. `details` is fit for JSON and holds no secret."""

    kind: str
    dedup_key: str
    severity: str
    summary: str
    tenant_id: int | None = None
    endpoint_id: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    muted: bool = False


def raise_alert(
    kind: str,
    dedup_key: str,
    severity: AlertSeverity,
    summary: str,
    now: datetime,
    *,
    tenant_id: int | None = None,
    endpoint_id: int | None = None,
    details: Mapping[str, object] | None = None,
) -> bool:
    """Whether a new alert was opened. One that is open under `dedup_key` takes the new severity, summary and details, and
    `now` as its last time. Joins the caller's transaction. `details` is fit for JSON and holds no secret.

    A stored rule for the kind has the last word on the severity, may mute it, or say that there is none.
    """
    rule = _rule_of(kind, tenant_id, endpoint_id)
    if rule is not None and not rule.enabled:
        logger.info("alert.switched_off", extra={"kind": kind, "dedup_key": dedup_key})
        return False
    said = AlertSeverity(rule.severity) if rule is not None and rule.stored else severity
    muted = rule is not None and rule.is_muted(now)
    draft = Draft(kind, dedup_key, said.value, summary, tenant_id, endpoint_id, dict(details or {}), muted)
    with transaction.atomic():
        if _update(draft, now):
            return False
        if open_firing(draft, now):
            return True
        _update(draft, now)  # somebody else opened it in this moment
    return False


def open_firing(draft: Draft, now: datetime) -> bool:
    """False when one is open under its key."""
    with transaction.atomic():
        alert = _create(draft, AlertState.FIRING, now, fired_at=now)
        if alert is None:
            return False
        _said(alert, "alert.raised")
        incidents.joined(alert, now)
    logger.warning("alert.raised", extra=_fields(alert))
    return True


def open_pending(draft: Draft, now: datetime) -> bool:
    """False when one is open under its key."""
    alert = _create(draft, AlertState.PENDING, now)
    if alert is not None:
        logger.info("alert.pending", extra=_fields(alert))
    return alert is not None


def fire(pk: UUID, draft: Draft, now: datetime) -> bool:
    """A pending one, with what is to be said now. False when it is not pending any more."""
    with transaction.atomic():
        alert = _locked(pk, AlertState.PENDING)
        if alert is None:
            return False
        alert.state, alert.fired_at, alert.last_at = AlertState.FIRING, now, now
        alert.severity, alert.summary, alert.details = draft.severity, draft.summary, dict(draft.details)
        alert.muted = draft.muted
        alert.save(update_fields=["state", "fired_at", "last_at", "severity", "summary", "details", "muted"])
        _said(alert, "alert.raised")
        incidents.joined(alert, now)
    logger.warning("alert.raised", extra=_fields(alert))
    return True


def pass_away(pk: UUID) -> bool:
    """A pending one goes unsaid."""
    with transaction.atomic():
        alert = _locked(pk, AlertState.PENDING)
        if alert is None:
            return False
        Alert.objects.filter(pk=pk).delete()
    logger.info("alert.passed", extra=_fields(alert))
    return True


def turn(pk: UUID, well_since: datetime | None) -> bool:
    """A firing one is well since then; None: it is not well any more."""
    turned = Alert.objects.filter(pk=pk, state=AlertState.FIRING, well_since__isnull=well_since is not None)
    if not turned.update(well_since=well_since):
        return False
    if well_since:
        logger.info("alert.well", extra={"alert_id": str(pk)})
    else:
        logger.info("alert.unwell", extra={"alert_id": str(pk)})
    return True


def rank_again(pk: UUID, severity: str, now: datetime) -> bool:
    """Its rule's severity was changed: a firing one takes it, and calls those who are called from there on."""
    with transaction.atomic():
        alert = _locked(pk, AlertState.FIRING)
        if alert is None or alert.severity == severity:
            return False
        _rank(alert, severity, now)
    return True


def end_mute(pk: UUID, now: datetime) -> bool:
    """A firing one calls from now on."""
    with transaction.atomic():
        alert = _locked(pk, AlertState.FIRING)
        if alert is None or not alert.muted:
            return False
        alert.muted = False
        alert.save(update_fields=["muted"])
        _said(alert, "alert.unmuted")
        incidents.joined(alert, now)
    logger.warning("alert.unmuted", extra=_fields(alert))
    return True


def resolve(dedup_key: str, now: datetime) -> bool:
    """False when no alert was firing under the key. The next `raise_alert` opens another."""
    with transaction.atomic():
        firing = Alert.objects.select_for_update().filter(dedup_key=dedup_key, state=AlertState.FIRING)
        alert = firing.first()
        if alert is None:
            return False
        alert.state, alert.resolved_at = AlertState.RESOLVED, now
        alert.save(update_fields=["state", "resolved_at"])
        _said(alert, "alert.resolved")
        incidents.left(alert, now)
    logger.info("alert.resolved", extra=_fields(alert))
    return True


def _rule_of(kind: str, tenant_id: int | None, endpoint_id: int | None) -> Rule | None:
    """Only rules of the kinds that are raised, not measured, are asked for here; a kind may have none."""
    if kind not in RuleKind.values or KINDS[RuleKind(kind)].measured:
        return None
    return rule_rows.load(kind).of(RuleKind(kind), tenant_id, endpoint_id)


def _create(draft: Draft, state: AlertState, now: datetime, **more: object) -> Alert | None:
    """None when one is open under its key."""
    about = {"kind": draft.kind, "dedup_key": draft.dedup_key, "severity": draft.severity, "summary": draft.summary}
    place = {"tenant_id": draft.tenant_id, "endpoint_id": draft.endpoint_id}
    try:
        with transaction.atomic():
            return Alert.objects.create(
                state=state,
                raised_at=now,
                last_at=now,
                details=dict(draft.details),
                muted=draft.muted,
                **about,
                **place,
                **more,
            )
    except IntegrityError:
        return None


def _update(draft: Draft, now: datetime) -> bool:
    """In a transaction. False when none is open under its key."""
    alert = Alert.objects.select_for_update().filter(dedup_key=draft.dedup_key, resolved_at=None).first()
    if alert is None:
        return False
    alert.summary, alert.details, alert.last_at = draft.summary, dict(draft.details), now
    alert.save(update_fields=["summary", "details", "last_at"])
    # While its rule is muted nobody is called; when that is over, the evaluator ranks it.
    if alert.severity != draft.severity and not draft.muted:
        _rank(alert, draft.severity, now)
    return True


def _rank(alert: Alert, severity: str, now: datetime) -> None:
    before, alert.severity = alert.severity, severity
    alert.save(update_fields=["severity"])
    _said(alert, "alert.severity_changed", {"from": str(before)})
    if RANK[severity] > RANK[before]:
        incidents.joined(alert, now)
    logger.warning("alert.severity_changed", extra=_fields(alert))


def _locked(pk: UUID, state: AlertState) -> Alert | None:
    return Alert.objects.select_for_update().filter(pk=pk, state=state).first()


def _said(alert: Alert, action: str, more: Mapping[str, object] | None = None) -> None:
    """In the chain of its tenant, while that is there. The summary of an alert holds no secret (see raise_alert)."""
    tenant = Tenant.objects.filter(pk=alert.tenant_id).first() if alert.tenant_id is not None else None
    details: dict[str, object] = {"kind": alert.kind, "severity": str(alert.severity), "summary": alert.summary}
    details |= {"endpoint": alert.endpoint_id, **(more or {})}
    if alert.muted:
        details["muted"] = True
    record(tenant.slug if tenant else PLATFORM_CHAIN, ACTOR, action, f"alert:{alert.pk}", details)


def _fields(alert: Alert) -> dict[str, object]:
    return {"alert_id": str(alert.pk), "kind": alert.kind, "dedup_key": alert.dedup_key}
