"""Reminds once at each step before a signing key is due, and once when it is overdue; tidies up when it was rotated."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction

from audit.trail import Actor, record
from delivery import alerts
from delivery.models import Alert
from delivery.signing_keys import store
from delivery.signing_keys.key import DUE_TYPE, KeyKind, SigningKey, details, due_event, severity
from eventcenter.publishing import keep

logger = logging.getLogger(__name__)

_ACTOR = Actor("system:signing-keys")


def remind(now: datetime) -> int:
    """Called every hour; several may run, and after a pause only the step that is reached by now is said. Returns how many
    reminders there were."""
    moved = [key for key in store.all_keys() if key.age.reminder(now) != key.reminded]
    said = sum(_judge(key, now) for key in moved)
    resolve_rotated(now)
    return said


def resolve_rotated(now: datetime) -> None:
    """Called every few seconds: an alert ends when its key was rotated, revoked or is not due any more."""
    open_alerts = Alert.objects.filter(kind=DUE_TYPE, resolved_at=None)
    keys = list(open_alerts.values_list("dedup_key", flat=True))
    if not keys:
        return
    current = {key.dedup_key for key in store.reminded_keys()}
    for dedup_key in keys:
        if dedup_key not in current:
            alerts.resolve(dedup_key, now)


def _judge(key: SigningKey, now: datetime) -> bool:
    """One transaction: the row's mark, event, alert and audit entry come together or not at all."""
    with transaction.atomic():
        locked = store.lock(key)
        step = locked.age.reminder(now) if locked else None
        if locked is None or step == locked.reminded:
            return False
        store.save_reminded(locked, step)
        # A longer life moves the due date away: nothing new is to be said then.
        if step is None or (locked.reminded is not None and step > locked.reminded):
            return False
        _say(locked, step, now)
    logger.warning("signing_key.due", extra={"kind": key.kind.value, "key": key.label, "step_days": step})
    return True


def _say(key: SigningKey, step: int, now: datetime) -> None:
    said = details(key, step, now)
    alerts.raise_alert(
        DUE_TYPE,
        key.dedup_key,
        severity(step),
        key.summary(now),
        now,
        tenant_id=key.tenant_id,
        endpoint_id=key.owner_pk if key.kind is KeyKind.ENDPOINT else None,
        details=said,
    )
    record(key.tenant, _ACTOR, DUE_TYPE, key.target, said)
    keep(key.tenant, [due_event(key, step, now)])
