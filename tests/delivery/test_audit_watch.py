"""Each minute the chains are signed; one that was changed behind its back is an alert."""

from __future__ import annotations

import pytest
from celery import current_app
from django.utils import timezone

from audit.models import AuditHead
from config.celery import app
from delivery.audit_watch import dedup_key, sign_heads
from delivery.models import Alert
from delivery.tasks import sign_audit_heads
from tests.audit import tampering
from tests.audit.tampering import written
from tests.factories import TenantFactory

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]


def test_beat_signs_the_chains_each_minute(audit_topics: None) -> None:
    written("acme")
    entry = app.conf.beat_schedule["sign-audit-heads"]
    assert (entry["task"], entry["schedule"]) == (sign_audit_heads.name, 60.0)
    assert sign_audit_heads.name in current_app.tasks

    sign_audit_heads()

    head = AuditHead.objects.get()
    assert (head.chain, head.position, head.sent_at is not None) == ("acme", 5, True)


def test_alert_is_open_until_the_chain_is_whole_again_when_an_entry_was_changed(audit_topics: None) -> None:
    tenant = TenantFactory(slug="acme")
    written("acme")
    tampering.change(3)

    sign_heads(timezone.now())
    sign_heads(timezone.now())

    alert = Alert.objects.get()
    assert (alert.kind, alert.dedup_key, alert.severity) == ("audit.broken", dedup_key("acme"), "critical")
    assert (alert.tenant_id, alert.details, alert.resolved_at) == (tenant.pk, {"kind": "changed", "position": 3}, None)
    assert "CHANGED acme#3" in alert.summary
    assert not AuditHead.objects.exists()

    tampering.tamper('UPDATE audit_auditentry SET details = \'{"n": 2, "to": "é"}\' WHERE position = 3')
    sign_heads(timezone.now())

    alert.refresh_from_db()
    assert alert.resolved_at is not None


def test_alert_is_raised_when_a_whole_chain_is_gone(audit_topics: None) -> None:
    written("acme")
    sign_heads(timezone.now())
    tampering.remove_chain()

    sign_heads(timezone.now())

    assert "CHAIN_REMOVED acme" in Alert.objects.get().summary
