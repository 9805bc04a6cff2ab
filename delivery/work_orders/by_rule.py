"""What the sweep makes of bad news: the trail's entry of each escalation, and a work order for its endpoint.

Nothing of it is done where deliveries die: there only the news is kept (delivery.approvals.escalation), so that no worker
waits for the trail. One work order is open for an endpoint, whatever is wrong with it; more news is linked to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction

from audit.trail import Actor, record
from delivery.health.endpoint_events import DISABLED_TYPE
from delivery.models import Alert, AlertSeverity, Escalation, LinkKind, WorkOrderOrigin
from delivery.work_orders import service
from delivery.work_orders.rules import TITLE_LENGTH_MOST, Draft
from subscriptions.models import Endpoint

SWEEP = Actor("system:sweep")
DEATHS_MOST = 1_000  # of one endpoint in one transaction
LINKS_MOST = 20
IDS_TOLD = 100


def notice(now: datetime) -> int:
    """How many pieces of news there were. Several may run: rows are taken with SKIP LOCKED."""
    alerts = Alert.objects.filter(kind=DISABLED_TYPE, resolved_at=None, noticed_at=None)
    found = sum(_notice_alert(alert_id, now) for alert_id in list(alerts.values_list("pk", flat=True)))
    deaths = Escalation.objects.filter(noticed_at=None).order_by("endpoint_id")
    endpoints = list(deaths.values_list("endpoint_id", flat=True).distinct())
    return found + sum(_notice_deaths(endpoint_id, now) for endpoint_id in endpoints)


def cause_of(endpoint_id: int) -> str:
    return f"endpoint:{endpoint_id}"


def _notice_alert(alert_id: UUID, now: datetime) -> int:
    """The trail has its entry already: who disabled it wrote it."""
    with transaction.atomic():
        rows = Alert.objects.select_for_update(skip_locked=True).filter(pk=alert_id, resolved_at=None, noticed_at=None)
        alert = rows.first()
        if alert is None:
            return 0
        if alert.tenant_id is not None and alert.endpoint_id is not None:
            about = f"{_name(alert.endpoint_id)} was disabled by the system"
            _order(alert.tenant_id, alert.endpoint_id, about, alert.summary, [(LinkKind.ALERT, alert.pk)], now)
        Alert.objects.filter(pk=alert_id).update(noticed_at=now)
    return 1


def _notice_deaths(endpoint_id: int, now: datetime) -> int:
    with transaction.atomic():
        rows = Escalation.objects.select_for_update(skip_locked=True, of=("self",)).select_related("tenant")
        deaths = list(rows.filter(endpoint_id=endpoint_id, noticed_at=None).order_by("pk")[:DEATHS_MOST])
        if not deaths:
            return 0
        links = [(LinkKind.DELIVERY, death.delivery_id) for death in deaths[:LINKS_MOST]]
        about = f"Deliveries to {_name(endpoint_id)} died and called a person"
        words = f"{len(deaths):,} when this was noticed. The linked ones are the first of them."
        _order(deaths[0].tenant_id, endpoint_id, about, words, links, now)
        _audit(endpoint_id, deaths)
        Escalation.objects.filter(pk__in=[death.pk for death in deaths]).update(noticed_at=now)
    return len(deaths)


def _order(
    tenant_id: int, endpoint_id: int, title: str, body: str, links: Sequence[tuple[LinkKind, UUID]], now: datetime
) -> None:
    if not settings.WORK_ORDERS_BY_RULE:
        return
    draft = Draft(
        tenant_id=tenant_id,
        title=title[:TITLE_LENGTH_MOST],
        body=body,
        severity=AlertSeverity.CRITICAL,
        origin=WorkOrderOrigin.RULE,
        links=tuple(links),
    )
    service.open_by_rule(draft, cause_of(endpoint_id), SWEEP, now)


def _audit(endpoint_id: int, deaths: Sequence[Escalation]) -> None:
    details: dict[str, object] = {
        "count": len(deaths),
        "deliveries": [str(death.delivery_id) for death in deaths[:IDS_TOLD]],
        "causes": sorted({death.cause for death in deaths}),
    }
    record(deaths[0].tenant.slug, SWEEP, "delivery.escalated", f"endpoint:{endpoint_id}", details)


def _name(endpoint_id: int) -> str:
    endpoint = Endpoint.objects.select_related("tenant").filter(pk=endpoint_id).first()
    return str(endpoint) if endpoint else f"endpoint #{endpoint_id}"
