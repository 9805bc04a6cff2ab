"""Alerts: one open row for each thing that a person should look at. Whom they reach is not decided here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from django.db import IntegrityError, transaction

from delivery.models import Alert, AlertSeverity

logger = logging.getLogger(__name__)


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
            Alert.objects.create(dedup_key=dedup_key, raised_at=now, last_at=now, **about, **says)
    except IntegrityError:  # somebody else opened it in this moment
        _update(dedup_key, now, says)
        return False
    logger.warning("alert.raised", extra={"kind": kind, "dedup_key": dedup_key})
    return True


def resolve(dedup_key: str, now: datetime) -> bool:
    """False when no alert was open under the key. The next `raise_alert` opens another."""
    resolved = bool(Alert.objects.filter(dedup_key=dedup_key, resolved_at=None).update(resolved_at=now))
    if resolved:
        logger.info("alert.resolved", extra={"dedup_key": dedup_key})
    return resolved


def _update(dedup_key: str, now: datetime, says: Mapping[str, object]) -> bool:
    return bool(Alert.objects.filter(dedup_key=dedup_key, resolved_at=None).update(last_at=now, **says))
