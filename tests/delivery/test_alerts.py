from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from audit.models import AuditEntry
from delivery.alerts import raise_alert, resolve
from delivery.models import Alert, AlertSeverity
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def test_open_alert_is_brought_up_to_date_when_it_is_raised_again() -> None:
    assert raise_alert("k", "key", AlertSeverity.WARNING, "one", NOW, tenant_id=1, endpoint_id=2, details={"n": 1})
    assert not raise_alert("k", "key", AlertSeverity.CRITICAL, "two", LATER, details={"n": 2})

    alert = Alert.objects.get()
    assert (alert.kind, alert.dedup_key, alert.tenant_id, alert.endpoint_id) == ("k", "key", 1, 2)
    assert (alert.severity, alert.summary, alert.details) == ("critical", "two", {"n": 2})
    assert (alert.raised_at, alert.last_at, alert.resolved_at) == (NOW, LATER, None)


def test_another_is_opened_when_the_first_was_resolved() -> None:
    raise_alert("k", "key", AlertSeverity.INFO, "one", NOW)
    raise_alert("k", "other", AlertSeverity.INFO, "other", NOW)

    assert resolve("key", LATER)
    assert not resolve("key", LATER)
    assert not resolve("unknown", LATER)
    assert raise_alert("k", "key", AlertSeverity.INFO, "two", LATER)

    found = Alert.objects.order_by("summary").values_list("summary", "resolved_at")
    assert list(found) == [("one", LATER), ("other", None), ("two", None)]


def test_raising_and_resolving_are_in_the_trail_of_the_tenant() -> None:
    tenant = TenantFactory()
    for _ in range(2):
        raise_alert("k", "key", AlertSeverity.CRITICAL, "one", NOW, tenant_id=tenant.pk, endpoint_id=7)
    for _ in range(2):
        resolve("key", LATER)
    raise_alert("k", "other", AlertSeverity.INFO, "of nobody", NOW)

    alert = Alert.objects.get(dedup_key="key")
    said = {"kind": "k", "severity": "critical", "summary": "one", "endpoint": 7}
    entries = AuditEntry.objects.order_by("pk").values_list("chain", "actor", "action", "target", "details")
    assert list(entries)[:2] == [
        (tenant.slug, "system:alerts", "alert.raised", f"alert:{alert.pk}", said),
        (tenant.slug, "system:alerts", "alert.resolved", f"alert:{alert.pk}", said),
    ]
    assert AuditEntry.objects.latest("pk").chain == "platform"
    assert AuditEntry.objects.count() == 3


def test_there_is_no_alert_when_the_callers_transaction_fails() -> None:
    with transaction.atomic():
        assert raise_alert("k", "key", AlertSeverity.INFO, "one", NOW)
        transaction.set_rollback(True)

    assert not Alert.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_one_alert_is_open_when_several_raise_it_at_once() -> None:
    start = threading.Barrier(4)

    def work() -> bool:
        start.wait(10)
        try:
            with transaction.atomic():
                return raise_alert("k", "key", AlertSeverity.INFO, "one", NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        opened = [done.result(20) for done in [pool.submit(work) for _ in range(4)]]

    assert sorted(opened) == [False, False, False, True]
    assert Alert.objects.count() == 1
