"""Alerts as events: `ops.alert.firing` and `ops.alert.resolved`, version 1, kept in the transaction of the alert.

An alert makes one event when it fires, one when it rises in severity, and one when it is resolved, however often it is seen.
So an endpoint that fails to take the news of its own failing makes no more of it: its alert is open already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson
from django.conf import settings

from delivery.alerting import absolute
from delivery.models import Alert, Incident
from eventcenter.envelope import Envelope, timestamp_text
from eventcenter.publishing import keep
from subscriptions.models import Endpoint, Tenant

FIRING_TYPE = "ops.alert.firing"
RESOLVED_TYPE = "ops.alert.resolved"
SOURCE = "/event-center/alerts"
MAX_SUMMARY_CHARS = 1024


@dataclass(frozen=True, slots=True)
class Names:
    """What the alert's numbers stand for; "" without one."""

    tenant: str = ""
    endpoint: str = ""

    @property
    def place(self) -> str:
        return "/".join(filter(None, (self.tenant, self.endpoint))) or "platform"


def names_of(alert: Alert) -> Names:
    """At most two queries. What was deleted has no name."""
    return Names(_slug(Tenant, alert.tenant_id), _slug(Endpoint, alert.endpoint_id))


def _slug(model: type[Tenant] | type[Endpoint], key: int | None) -> str:
    found = model._default_manager.filter(pk=key).values_list("slug", flat=True).first() if key is not None else None
    return found or ""


def say_firing(alert: Alert, incident: Incident, names: Names, now: datetime) -> None:
    """In the caller's transaction. Said before with this severity: nothing happens."""
    _say(alert, firing_event(alert, incident, names, now))


def say_resolved(alert: Alert, incident: Incident, names: Names, now: datetime) -> None:
    _say(alert, resolved_event(alert, incident, names, now))


def firing_event(alert: Alert, incident: Incident, names: Names, now: datetime) -> Envelope:
    """Pure but for the settings. The id is the same for one alert and severity, however often it is made."""
    return _envelope(
        FIRING_TYPE, f"{alert.pk}-firing-{alert.severity}", alert, _said(alert, incident, names), names, now
    )


def resolved_event(alert: Alert, incident: Incident, names: Names, now: datetime) -> Envelope:
    data = _said(alert, incident, names) | {"resolved_at": timestamp_text(now)}
    return _envelope(RESOLVED_TYPE, f"{alert.pk}-resolved", alert, data, names, now)


def number_in(details: Mapping[str, object], name: str) -> float | int | None:
    found = details.get(name)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _said(alert: Alert, incident: Incident, names: Names) -> dict[str, object]:
    return {
        "alert_id": str(alert.pk),
        "kind": alert.kind,
        "severity": str(alert.severity),
        "summary": alert.summary[:MAX_SUMMARY_CHARS],
        "since": timestamp_text(alert.fired_at or alert.raised_at),
        "endpoint": names.endpoint or None,
        "cause": incident.cause,
        "incident_id": str(incident.pk),
        **{name: number_in(alert.details, name) for name in ("value", "threshold", "window_s")},
        "console_url": absolute.console_url(alert.pk) or None,
        "runbook_url": absolute.runbook_url(alert.kind) or None,
    }


def _say(alert: Alert, envelope: Envelope) -> None:
    """In the alert's tenant; of the platform, in the one that OPS_TENANT names. An inactive one is told nothing: its events
    are refused."""
    about = {"slug": settings.OPS_TENANT} if alert.tenant_id is None else {"pk": alert.tenant_id}
    tenant = Tenant.objects.filter(active=True, **about).values_list("slug", flat=True).first()
    if tenant is not None:
        keep(tenant, [envelope])


def _envelope(
    event_type: str, event_id: str, alert: Alert, data: dict[str, object], names: Names, now: datetime
) -> Envelope:
    return Envelope(
        id=event_id,
        source=SOURCE,
        type=event_type,
        subject=names.endpoint or names.tenant or alert.kind,
        time=now,
        data=orjson.dumps(data),
    )
