"""The calls of an incident, as rows: written in its transaction, sent afterwards by `manage.py send_pages`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from django.db.models import OuterRef, Q, QuerySet

from delivery.alerting import absolute
from delivery.alerting.alert_events import Names
from delivery.models import Alert, AlertContact, AlertSeverity, Incident, Page, PageAction
from eventcenter.envelope import timestamp_text

RANK: Final = {AlertSeverity.INFO.value: 0, AlertSeverity.WARNING.value: 1, AlertSeverity.CRITICAL.value: 2}
MAX_SUMMARY_CHARS = 1024  # PagerDuty's payload.summary, and long enough for a mail


def call(incident: Incident, alert: Alert, names: Names, now: datetime) -> int:
    """One trigger for each contact of the alert's tenant, or of the platform, that is to know of this severity and was not
    called for this incident at it or a higher one yet. The incident is locked. Returns how many."""
    called = dict[int, int]()
    for contact_id, severity in told(incident).values_list("contact_id", "body__severity"):
        called[contact_id] = max(called.get(contact_id, 0), RANK.get(severity, 0))
    enough = [contact_id for contact_id, rank in called.items() if rank >= RANK[alert.severity]]
    severities = [name for name, rank in RANK.items() if rank <= RANK[alert.severity]]
    contacts = AlertContact.objects.filter(
        Q(tenant_id=None) | Q(tenant_id=alert.tenant_id), enabled=True, least_severity__in=severities
    ).exclude(pk__in=enough)
    body = body_of(alert, incident, names)
    made = [
        _page(incident, contact_id, PageAction.TRIGGER, body | {"again": contact_id in called}, now)
        for contact_id in contacts.values_list("pk", flat=True)
    ]
    return len(Page.objects.bulk_create(made))


def follow_up(incident: Incident, action: PageAction, summary: str, now: datetime) -> int:
    """For each contact that was called, in the words of its last call. Returns how many."""
    said = {"severity": str(incident.severity), "cause": incident.cause, "summary": summary[:MAX_SUMMARY_CHARS]}
    calls = told(incident).order_by("pk").values_list("contact_id", "body")
    bodies = {contact_id: dict(body) | said for contact_id, body in calls}
    made = [_page(incident, contact_id, action, body, now) for contact_id, body in bodies.items()]
    return len(Page.objects.bulk_create(made))


def told(incident: Incident | OuterRef) -> QuerySet[Page]:
    """The triggers that were sent or will be: one that was given up told nobody."""
    return Page.objects.filter(incident=incident, action=PageAction.TRIGGER).exclude(sent_at=None, next_at=None)


def body_of(alert: Alert, incident: Incident, names: Names) -> dict[str, object]:
    """What a trigger says, in the words of PagerDuty's payload. Pure but for the settings."""
    details = {
        "kind": alert.kind,
        "tenant": names.tenant or None,
        "endpoint": names.endpoint or None,
        "cause": incident.cause,
        **alert.details,
    }
    shown = {"Alert in the console": absolute.console_url(alert.pk), "Runbook": absolute.runbook_url(alert.kind)}
    return {
        "summary": alert.summary[:MAX_SUMMARY_CHARS],
        "severity": str(alert.severity),
        "cause": incident.cause,
        "source": f"event-center/{names.place}",
        "timestamp": timestamp_text(alert.fired_at or alert.raised_at),
        "component": names.endpoint or incident.cause,
        "group": names.tenant or "platform",
        "class": alert.kind,
        "details": {name: value for name, value in details.items() if value is not None},
        "links": [{"text": text, "href": href} for text, href in shown.items() if href],
    }


def _page(incident: Incident, contact_id: int, action: PageAction, body: Mapping[str, object], now: datetime) -> Page:
    return Page(
        tenant_id=incident.tenant_id,
        incident=incident,
        contact_id=contact_id,
        action=action,
        body=body,
        created_at=now,
        next_at=now,
    )
