"""Signs where the audit chains stand, and alerts when one of them was changed behind its back."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from audit.verify import Fault
from delivery import alerts
from delivery.models import AlertSeverity
from eventcenter import audit_heads
from eventcenter.audit_heads import Published
from subscriptions.models import Tenant

KIND = "audit.broken"


def sign_heads(now: datetime) -> Published:
    """A chain with a fault gets no new head, and an alert that is resolved when it gets one again."""
    done = audit_heads.publish(now)
    faults: dict[str, Fault] = {}
    for fault in done.faults:
        faults.setdefault(fault.chain, fault)
    for chain, fault in faults.items():
        with transaction.atomic():
            _alert(chain, fault, now)
    for chain in done.signed:
        alerts.resolve(dedup_key(chain), now)
    return done


def dedup_key(chain: str) -> str:
    return f"{KIND}:{chain}"


def _alert(chain: str, fault: Fault, now: datetime) -> None:
    tenant = Tenant.objects.filter(slug=chain).first()
    summary = f"The audit trail of {chain} is not as it was written: {fault}. manage.py verify_audit tells the rest."
    alerts.raise_alert(
        KIND,
        dedup_key(chain),
        AlertSeverity.CRITICAL,
        summary,
        now,
        tenant_id=tenant.pk if tenant else None,
        details={"kind": fault.kind.value, "position": fault.position},
    )
