"""What the system itself decides about an endpoint: 410 ends it; days of failure bring warnings and then end it."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from audit.trail import Actor, record
from delivery import alerts
from delivery.health import breaker_store, endpoint_events
from delivery.health.breaker import Health
from delivery.health.endpoint_events import DISABLED_TYPE, FAILING_TYPE, About
from delivery.models import Alert, AlertSeverity, Breaker, BreakerState
from eventcenter.envelope import Envelope
from eventcenter.publishing import keep
from subscriptions.models import Endpoint, EndpointState

logger = logging.getLogger(__name__)

GONE_REASON = "The receiver answered 410 Gone."
WARN_AT_PERCENT = (50, 70, 90)
DISABLE_AT_PERCENT = 100
# Nobody is disabled unwarned: failures must go on for so long after the last warning. On the usual way, from 90 to 100 %,
# they do; an endpoint that is seldom sent to may come to 100 % with its second failure.
GRACE_PERCENT = 10
# A healthy endpoint's row is of use to people for a while: when it closed, what it was held for.
IDLE_KEPT = timedelta(days=1)

_WATCH = Actor("system:sweep")


def disable_gone(endpoint_id: int, delivery_id: UUID) -> bool:
    """Standard Webhooks: 410 ends the endpoint. False when it was not enabled any more. Joins the caller's transaction."""
    now = timezone.now()
    with transaction.atomic():
        enabled = Endpoint.objects.filter(pk=endpoint_id).exclude(state=EndpointState.DISABLED)
        if not enabled.update(state=EndpointState.DISABLED, state_reason=GONE_REASON, disabled_by_system=True):
            return False
        endpoint = Endpoint.objects.select_related("tenant").get(pk=endpoint_id)
        details: dict[str, object] = {"reason": GONE_REASON, "delivery": str(delivery_id)}
        _alert_disabled(endpoint, GONE_REASON, details, now)  # first: alerts' rows are locked before the trail's chain
        record(endpoint.tenant.slug, Actor("system:worker"), "endpoint.disabled", f"endpoint:{endpoint_id}", details)
        _announce(endpoint, endpoint_events.disabled_gone(_about(endpoint), str(delivery_id), GONE_REASON, now))
    logger.warning("endpoint.disabled", extra={"endpoint_id": endpoint_id, "delivery_id": str(delivery_id)})
    return True


def watch(now: datetime) -> None:
    """Called every few seconds; several may run. Warns, disables, and tidies up behind endpoints that are well, stopped
    or deleted."""
    limit = time_to_disable()
    _stop_clocks()
    for endpoint_id in _near_a_step(limit):
        _judge(endpoint_id, limit, now)
    _resolve_alerts(now)
    _delete_idle(now)


def time_to_disable() -> timedelta:
    return timedelta(hours=settings.ENDPOINT_DISABLE_AFTER_HOURS)


def next_step(health: Health, limit: timedelta, warned_at: datetime | None) -> int:
    """The percentage to act on now: a warning that was not given yet, DISABLE_AT_PERCENT, or 0. Of several warnings only
    the last is given. `warned_at`: when the last was; None: it was taken back, or never given. Pure.

    Time counts up to the last failure that was seen: an endpoint to which nothing was sent is not warned again.
    """
    percent = health.failing_for / limit * 100
    reached = max((step for step in WARN_AT_PERCENT if step <= percent), default=0)
    if reached > health.warned_percent:
        return reached
    if percent < DISABLE_AT_PERCENT or health.window_at is None:
        return 0
    lasted = health.window_at - warned_at if warned_at is not None else limit
    return DISABLE_AT_PERCENT if lasted >= limit * GRACE_PERCENT / 100 else 0


def _near_a_step(limit: timedelta) -> list[int]:
    """Endpoints that are enabled, of active tenants, and have come to a step of which they were not told; sorted, so that
    rows are locked in one order."""
    due = Q(window_at__gte=F("failing_since") + limit)
    for step in WARN_AT_PERCENT:
        due |= Q(warned_percent__lt=step, window_at__gte=F("failing_since") + limit * step / 100)
    failing = Breaker.objects.filter(due, _is(EndpointState.ENABLED, tenant__active=True), failing_since__isnull=False)
    return list(failing.order_by("pk").values_list("pk", flat=True))


def _judge(endpoint_id: int, limit: timedelta, now: datetime) -> None:
    """One transaction: row, endpoint, event, alert and audit entry change together or not at all."""
    with transaction.atomic():
        health = breaker_store.lock([endpoint_id]).get(endpoint_id)
        enabled = Endpoint.objects.select_for_update(of=("self",)).filter(pk=endpoint_id, state=EndpointState.ENABLED)
        endpoint = enabled.select_related("tenant").first()
        if health is None or health.failing_since is None or endpoint is None:
            return
        step = next_step(health, limit, _warned_at(endpoint_id))
        if step == DISABLE_AT_PERCENT:
            _disable(endpoint, health, limit, now)
        elif step:
            _warn(endpoint, health, step, limit, now)


def _warned_at(endpoint_id: int) -> datetime | None:
    alert = Alert.objects.filter(dedup_key=failing_key(endpoint_id), resolved_at=None)
    return alert.values_list("last_at", flat=True).first()


def _warn(endpoint: Endpoint, health: Health, percent: int, limit: timedelta, now: datetime) -> None:
    breaker_store.save({endpoint.pk: replace(health, warned_percent=percent)})
    since = f"{health.failing_since:%Y-%m-%d %H:%M} UTC"
    summary = f"{endpoint} has taken nothing since {since}; {percent} % of the time to its disabling is over."
    details = _details(health) | {"percent": percent, "disabled_after_hours": round(limit / timedelta(hours=1))}
    alerts.raise_alert(
        FAILING_TYPE,
        failing_key(endpoint.pk),
        AlertSeverity.WARNING,
        summary,
        now,
        tenant_id=endpoint.tenant_id,
        endpoint_id=endpoint.pk,
        details=details,
    )
    record(endpoint.tenant.slug, _WATCH, FAILING_TYPE, f"endpoint:{endpoint.pk}", details)
    _announce(endpoint, endpoint_events.failing(_about(endpoint), health, percent, limit, now))
    logger.warning("endpoint.failing", extra={"endpoint_id": endpoint.pk, "percent": percent})


def _disable(endpoint: Endpoint, health: Health, limit: timedelta, now: datetime) -> None:
    """The breaker's row is new again, so that an endpoint that is enabled again is not disabled by its past."""
    reason = (
        f"It took nothing from {health.failing_since:%Y-%m-%d %H:%M} UTC on, for {limit / timedelta(hours=1):g} hours."
    )
    ended = {"state": EndpointState.DISABLED, "state_reason": reason, "disabled_by_system": True}
    Endpoint.objects.filter(pk=endpoint.pk).update(**ended)
    breaker_store.save({endpoint.pk: Health()})
    details = _details(health) | {"reason": reason}
    _alert_disabled(endpoint, reason, details, now)
    record(endpoint.tenant.slug, _WATCH, DISABLED_TYPE, f"endpoint:{endpoint.pk}", details)
    _announce(endpoint, endpoint_events.disabled_failing(_about(endpoint), health, reason, now))
    logger.warning("endpoint.disabled", extra={"endpoint_id": endpoint.pk})


def _alert_disabled(endpoint: Endpoint, reason: str, details: dict[str, object], now: datetime) -> None:
    alerts.raise_alert(
        DISABLED_TYPE,
        disabled_key(endpoint.pk),
        AlertSeverity.CRITICAL,
        f"{endpoint} is disabled: {reason}",
        now,
        tenant_id=endpoint.tenant_id,
        endpoint_id=endpoint.pk,
        details=details,
    )


def _stop_clocks() -> None:
    """Time that an endpoint is paused or disabled is not time that it failed. Of a disabled one nothing is kept, except
    that somebody opened its breaker by hand."""
    stopped = Breaker.objects.filter(~_is(EndpointState.ENABLED)).exclude(failing_since=None, warned_percent=0)
    _update_free(stopped, {"failing_since": None, "warned_percent": 0})
    unwell = ~Q(state=BreakerState.CLOSED) | Q(openings__gt=0) | Q(consecutive__gt=0) | Q(hold_until__isnull=False)
    disabled = Breaker.objects.filter(unwell, _is(EndpointState.DISABLED), by_hand=False)
    _update_free(disabled, asdict(Health()))


def _update_free(found: QuerySet[Breaker], changes: dict[str, object]) -> None:
    """Rows that a worker has locked are left to the next time."""
    with transaction.atomic():
        ids = list(found.select_for_update(skip_locked=True, of=("self",)).order_by("pk").values_list("pk", flat=True))
        if ids:
            Breaker.objects.filter(pk__in=ids).update(**changes)


def _resolve_alerts(now: datetime) -> None:
    """What is well again, stopped by somebody, gone, or an inactive tenant's needs nobody's attention."""
    open_alerts = Alert.objects.filter(kind__in=(FAILING_TYPE, DISABLED_TYPE), resolved_at=None)
    keys = {key: endpoint_id or 0 for key, endpoint_id in open_alerts.values_list("dedup_key", "endpoint_id")}
    if not keys:
        return
    ids = list(keys.values())
    states = dict(Endpoint.objects.filter(pk__in=ids, tenant__active=True).values_list("pk", "state"))
    failing = Breaker.objects.filter(pk__in=ids, failing_since__isnull=False).values_list("pk", flat=True)
    enabled = {pk for pk, state in states.items() if state == EndpointState.ENABLED}
    current = {failing_key(pk) for pk in enabled.intersection(failing)}
    current |= {disabled_key(pk) for pk, state in states.items() if state == EndpointState.DISABLED}
    for key in keys.keys() - current:
        alerts.resolve(key, now)


def _delete_idle(now: datetime) -> None:
    """Rows that say nothing any more, or whose endpoint was deleted."""
    well = Q(state=BreakerState.CLOSED, failing_since=None, openings=0, updated_at__lt=now - IDLE_KEPT)
    well &= Q(hold_until=None) | Q(hold_until__lt=now)
    deleted = ~Exists(Endpoint.objects.filter(pk=OuterRef("endpoint_id")))
    Breaker.objects.filter(well | deleted).delete()


def _is(state: EndpointState, **more: object) -> Exists:
    return Exists(Endpoint.objects.filter(pk=OuterRef("endpoint_id"), state=state, **more))


def _announce(endpoint: Endpoint, envelope: Envelope) -> None:
    """An inactive tenant's events would be refused."""
    if endpoint.tenant.active:
        keep(endpoint.tenant.slug, [envelope])


def _about(endpoint: Endpoint) -> About:
    return About(endpoint.pk, endpoint.tenant.slug, endpoint.slug)


def _details(health: Health) -> dict[str, object]:
    since = health.failing_since.isoformat() if health.failing_since else None
    return {"failing_since": since, "failures_in_a_row": health.consecutive}


def failing_key(endpoint_id: int) -> str:
    """Of the alert; one a time and endpoint."""
    return f"{FAILING_TYPE}:{endpoint_id}"


def disabled_key(endpoint_id: int) -> str:
    return f"{DISABLED_TYPE}:{endpoint_id}"
