"""Endpoints that do not take deliveries as they should, the worst first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import LiteralString

from django.db.models import Q

from delivery.console.overview.scope import of_tenants
from delivery.models import Alert, Breaker, BreakerState
from delivery.telemetry.remembered import Tenants
from eventcenter.store import rows
from subscriptions.models import Endpoint, EndpointState

SHOWN_MOST = 20
READ_MOST = 200  # of each kind; more are told as "200+"
FAILURES_SHOWN = 3  # in a row; fewer are an attempt that went wrong, not an endpoint in trouble
BACKLOG_MOST = 1_000


class Trouble(IntEnum):
    """The worst first."""

    OPEN = 1
    DISABLED = 2
    HALF_OPEN = 3
    FAILING = 4
    ALERT = 5
    PAUSED = 6


WORDS = {
    Trouble.OPEN: ("Breaker open", "bad", "dead"),
    Trouble.DISABLED: ("Disabled", "bad", "severity-critical"),
    Trouble.HALF_OPEN: ("Half-open", "warn", "retrying"),
    Trouble.FAILING: ("Failing", "warn", "retrying"),
    Trouble.ALERT: ("Alert open", "warn", "alert-pending"),
    Trouble.PAUSED: ("Paused", "mute", "cancelled"),
}


@dataclass(frozen=True, slots=True)
class Troubled:
    """`since` None: not known. `held` stops at BACKLOG_MOST; None: not counted."""

    endpoint: Endpoint
    trouble: Trouble
    since: datetime | None
    why: str
    alert: Alert | None
    held: int | None = None

    @property
    def word(self) -> str:
        return WORDS[self.trouble][0]

    @property
    def tone(self) -> str:
        return WORDS[self.trouble][1]

    @property
    def dot(self) -> str:
        return WORDS[self.trouble][2]

    @property
    def is_paused(self) -> bool:
        return self.trouble is Trouble.PAUSED

    @property
    def held_more(self) -> bool:
        return self.held is not None and self.held >= BACKLOG_MOST


# Index: delivery_delivery_held (partial), up to the limit for each endpoint.
HELD: LiteralString = """
SELECT e.id, (SELECT count(*) FROM (SELECT 1 FROM delivery_delivery d
    WHERE d.endpoint_id = e.id AND d.held_reason <> '' AND d.held_reason <> 'ordering' LIMIT %s) AS counted)
FROM unnest(%s::bigint[]) AS e (id)
"""


def troubled(tenants: Tenants, alerts: Sequence[Alert]) -> list[Troubled]:
    """Two queries. `alerts`: the open ones, of which those of an endpoint count."""
    rows_of_breakers = of_tenants(Breaker.objects.order_by("endpoint_id"), tenants)
    ailing = ~Q(state=BreakerState.CLOSED) | Q(failing_since__isnull=False, consecutive__gte=FAILURES_SHOWN)
    breakers = {row.pk: row for row in rows_of_breakers.filter(ailing)[:READ_MOST]}
    by_endpoint = {alert.endpoint_id: alert for alert in reversed(alerts) if alert.endpoint_id is not None}
    ids = sorted({*breakers, *(key for key in by_endpoint if key is not None)})
    endpoints = of_tenants(Endpoint.objects.select_related("tenant").order_by("state", "pk"), tenants)
    found = endpoints.filter(Q(pk__in=ids) | ~Q(state=EndpointState.ENABLED))[: 2 * READ_MOST]
    made = [judged(row, breakers.get(row.pk), by_endpoint.get(row.pk)) for row in found]
    return sorted((each for each in made if each), key=lambda each: (each.trouble, _age(each), each.endpoint.pk))


def judged(endpoint: Endpoint, breaker: Breaker | None, alert: Alert | None) -> Troubled | None:
    """Pure. What an admin decided stands before what its breaker says; None: it is well."""
    at = (alert.fired_at or alert.raised_at) if alert else None
    match endpoint.state:
        case EndpointState.DISABLED:
            return Troubled(endpoint, Trouble.DISABLED, at, endpoint.state_reason, alert)
        case EndpointState.PAUSED:
            return Troubled(endpoint, Trouble.PAUSED, None, endpoint.state_reason, alert)
    if breaker is not None:
        return _of_breaker(endpoint, breaker, alert)
    return Troubled(endpoint, Trouble.ALERT, at, alert.summary, alert) if alert else None


def _of_breaker(endpoint: Endpoint, breaker: Breaker, alert: Alert | None) -> Troubled:
    if breaker.state == BreakerState.CLOSED:
        why = f"{breaker.consecutive:,} failures in a row"
        return Troubled(endpoint, Trouble.FAILING, breaker.failing_since, why, alert)
    kind = Trouble.OPEN if breaker.state == BreakerState.OPEN else Trouble.HALF_OPEN
    since = breaker.failing_since or breaker.opened_at
    return Troubled(endpoint, kind, breaker.opened_at if breaker.by_hand else since, breaker.reason, alert)


def held(found: Iterable[Troubled]) -> dict[int, int]:
    """Endpoint → deliveries that are held for it, up to BACKLOG_MOST."""
    ids = [each.endpoint.pk for each in found]
    return dict(rows(HELD, [BACKLOG_MOST, ids])) if ids else {}


def with_held(found: Sequence[Troubled], counts: Mapping[int, int]) -> list[Troubled]:
    return [
        Troubled(each.endpoint, each.trouble, each.since, each.why, each.alert, counts.get(each.endpoint.pk))
        for each in found
    ]


def _age(each: Troubled) -> float:
    """Those that began first come first; those whose beginning is not known last."""
    return each.since.timestamp() if each.since else float("inf")
