"""Incidents: alerts of one cause while any of them fires, and the calls that they make.

All of it joins the transaction in which the alert changes. Locks are taken in one order: the alert's row, the audit chain, the
incident's row. So whoever records an entry does it before calling `joined` or `left`.
"""

from __future__ import annotations

import logging
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.alerting import alert_events, pages
from delivery.alerting.causes import cause_of
from delivery.models import Alert, AlertState, Incident, PageAction
from eventcenter import row_security
from subscriptions.models import Tenant

__all__ = ["acknowledge", "cause_of", "joined", "left"]

logger = logging.getLogger(__name__)


def joined(alert: Alert, now: datetime) -> Incident:
    """Call it when the alert starts firing, rises in severity, or is unmuted while it fires; repeated, it changes nothing.

    The first alert of a cause opens the incident, the others join it: two at once from two processes wait for each other. Who is
    to know of it and was not called yet at its severity gets a page, unless the alert is muted. `alert` is as it stands in
    its row.
    """
    with row_security.unscoped(), transaction.atomic():
        incident = _open_incident(alert, now)
        if pages.RANK[alert.severity] > pages.RANK[incident.severity]:
            incident.severity = alert.severity
            incident.save(update_fields=["severity"])
        alert.incident = incident
        Alert.objects.filter(pk=alert.pk).update(incident=incident)
        names = alert_events.names_of(alert)
        alert_events.say_firing(alert, incident, names, now)
        called = 0 if alert.muted else pages.call(incident, alert, names, now)
    logger.info("incident.joined", extra={"incident": str(incident.pk), "cause": incident.cause, "called": called})
    return incident


def left(alert: Alert, now: datetime) -> None:
    """Call it when the alert is resolved. The last one of its incident ends that, and tells everybody who was called."""
    if alert.incident_id is None:
        return
    with row_security.unscoped(), transaction.atomic():
        incident = Incident.objects.select_for_update().get(pk=alert.incident_id)
        alert_events.say_resolved(alert, incident, alert_events.names_of(alert), now)
        others = Alert.objects.filter(incident=incident, state=AlertState.FIRING).exclude(pk=alert.pk)
        if incident.resolved_at is not None or others.exists():
            return
        incident.resolved_at = now
        incident.save(update_fields=["resolved_at"])
        told = pages.follow_up(incident, PageAction.RESOLVE, f"Resolved: {incident.summary}", now)
    logger.info("incident.resolved", extra={"incident": str(incident.pk), "cause": incident.cause, "told": told})


def acknowledge(incident_id: UUID, actor: Actor, now: datetime) -> bool:
    """Somebody has it in hand: everybody who was called is told. False when it is over, or was acknowledged before."""
    with row_security.unscoped(), transaction.atomic():
        incident = Incident.objects.filter(pk=incident_id, acknowledged_at=None, resolved_at=None).first()
        if incident is None:
            return False
        record(_chain(incident), actor, "incident.acknowledged", f"incident:{incident.pk}", {"cause": incident.cause})
        still_open = Incident.objects.filter(pk=incident_id, acknowledged_at=None, resolved_at=None)
        if not still_open.update(acknowledged_at=now, acknowledged_by=actor.name):
            transaction.set_rollback(True)  # somebody was faster; the entry goes with it
            return False
        said = f"Acknowledged by {actor.name.removeprefix('user:')}: {incident.summary}"
        told = pages.follow_up(incident, PageAction.ACKNOWLEDGE, said, now)
    logger.info("incident.acknowledged", extra={"incident": str(incident.pk), "told": told})
    return True


def _open_incident(alert: Alert, now: datetime) -> Incident:
    """Locked. The unique index on open causes decides between two that open it at once; the other one finds it."""
    cause = cause_of(alert)
    while True:
        found = Incident.objects.select_for_update().filter(cause=cause, resolved_at=None).first()
        if found is not None:
            return found
        opened = Incident(
            tenant_id=alert.tenant_id, cause=cause, severity=alert.severity, summary=alert.summary, opened_at=now
        )
        Incident.objects.bulk_create([opened], ignore_conflicts=True)


def _chain(incident: Incident) -> str:
    if incident.tenant_id is None:
        return PLATFORM_CHAIN
    return Tenant.objects.filter(pk=incident.tenant_id).values_list("slug", flat=True).first() or PLATFORM_CHAIN
