"""Alerts and contacts for the tests of incidents and pages."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from delivery.alerting.calling import Call
from delivery.alerting.contacts import seal_routing_key
from delivery.models import Alert, AlertContact, AlertState, Page, PageAction

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = "R0123456789abcdef0123456789abcde"
numbers = count(1)


def make_alert(kind: str = "failure_rate", severity: str = "critical", **given: Any) -> Alert:
    """Firing. Of endpoint 42 of the tenant, or with tenant_id=None of the platform."""
    about = {"summary": "acme/ci-cd: 10 % of its attempts failed", "dedup_key": f"key-{next(numbers)}", "fired_at": NOW}
    alert: Alert = Alert.objects.create(kind=kind, severity=severity, raised_at=NOW, last_at=NOW, **about | given)
    return alert


def resolve(alert: Alert, at: datetime = NOW) -> Alert:
    """As delivery.alerts does."""
    alert.state, alert.resolved_at = AlertState.RESOLVED, at
    alert.save()
    return alert


def make_contact(name: str = "Ops on call", key: str = KEY, **given: Any) -> AlertContact:
    """PagerDuty by default; with address=… by e-mail."""
    channel = (
        {"channel": "email"}
        if "address" in given
        else {"channel": "pagerduty", "sealed_routing_key": seal_routing_key(key)}
    )
    contact: AlertContact = AlertContact.objects.create(name=name, **channel | given)
    return contact


def calls() -> list[tuple[str, str]]:
    """(contact, action) of every page, in their order."""
    return list(Page.objects.order_by("pk").values_list("contact__name", "action"))


def make_call(action: PageAction = PageAction.TRIGGER, **given: Any) -> Call:
    """As the outbox makes it; by PagerDuty by default."""
    body = {
        "summary": "acme/ci-cd: 10 % of its attempts failed within 5 m",
        "severity": "critical",
        "cause": "endpoint:42",
        "source": "event-center/acme/ci-cd",
        "timestamp": "2026-01-01T12:00:00Z",
        "component": "ci-cd",
        "group": "acme",
        "class": "failure_rate",
        "details": {"tenant": "acme", "endpoint": "ci-cd", "value": 0.1, "threshold": 0.05, "window_s": 300},
        "links": [
            {"text": "Alert in the console", "href": "https://events.example.com/console/alerts/1"},
            {"text": "Runbook", "href": "https://events.example.com/runbook#failure-rate"},
        ],
    }
    about = {"page_id": UUID(int=1), "contact_id": 3, "channel": "pagerduty", "dedup_key": "event-center-1"}
    return Call(action=action, **{**about, "body": body, "routing_key": KEY, **given})
