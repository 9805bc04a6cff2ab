"""Alerts: one open row for each thing that a person should look at. Whom they reach is not decided here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from django.db import IntegrityError, transaction

from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.models import Alert, AlertSeverity, AlertState
from subscriptions.models import Tenant

logger = logging.getLogger(__name__)

ACTOR = Actor("system:alerts")


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
    `now` as its last time. Joins the caller's transaction. `details` is fit for JSON and holds no secret."""
    says: dict[str, object] = {"severity": severity.value, "summary": summary, "details": dict(details or {})}
    if _update(dedup_key, now, says):
        return False
    try:
        with transaction.atomic():
            about = {"kind": kind, "tenant_id": tenant_id, "endpoint_id": endpoint_id}
            alert = Alert.objects.create(dedup_key=dedup_key, raised_at=now, fired_at=now, last_at=now, **about, **says)
            _record(alert, "alert.raised")
    except IntegrityError:  # somebody else opened it in this moment
        _update(dedup_key, now, says)
        return False
    logger.warning("alert.raised", extra={"kind": kind, "dedup_key": dedup_key})
    return True


def resolve(dedup_key: str, now: datetime) -> bool:
    """False when no alert was open under the key. The next `raise_alert` opens another."""
    with transaction.atomic():
        alert = Alert.objects.select_for_update().filter(dedup_key=dedup_key, resolved_at=None).first()
        if alert is None:
            return False
        Alert.objects.filter(pk=alert.pk).update(state=AlertState.RESOLVED, resolved_at=now)
        _record(alert, "alert.resolved")
    logger.info("alert.resolved", extra={"dedup_key": dedup_key})
    return True


def _update(dedup_key: str, now: datetime, says: Mapping[str, object]) -> bool:
    return bool(Alert.objects.filter(dedup_key=dedup_key, resolved_at=None).update(last_at=now, **says))


def _record(alert: Alert, action: str) -> None:
    """In the chain of its tenant, while that is there. The summary of an alert holds no secret (see raise_alert)."""
    tenant = Tenant.objects.filter(pk=alert.tenant_id).first() if alert.tenant_id is not None else None
    details: dict[str, object] = {"kind": alert.kind, "severity": str(alert.severity), "summary": alert.summary}
    details |= {"endpoint": alert.endpoint_id}
    record(tenant.slug if tenant else PLATFORM_CHAIN, ACTOR, action, f"alert:{alert.pk}", details)
