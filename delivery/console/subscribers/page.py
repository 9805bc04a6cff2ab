"""The console's page of one subscriber: is it us or them, since when, and what can be pressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from audit.models import AuditEntry
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.charts import Chart, Plot, Series, Shape, Target, chart
from delivery.console.scales import Unit
from delivery.console.subscribers.health import Health, Steps, health_of
from delivery.console.subscribers.trouble import GOOD_SHARE, Rates
from delivery.console.views import LIVE_ID
from delivery.models import WorkOrder, WorkOrderLink
from delivery.telemetry.steps import by_step
from delivery.telemetry.sums import HOUR, hour_of
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import require, within
from subscriptions.channels.registry import destination_of, is_signed
from subscriptions.models import Endpoint, EndpointSecret, Subscription
from subscriptions.services import age_of, needs_approval
from subscriptions.yaml_sync.export import export_endpoint

PERIODS = {"1h": "1 hour", "24h": "24 hours", "7d": "7 days"}
DEFAULT_PERIOD = "1h"
WEEK = timedelta(days=7)
ENTRIES_MOST, ENTRIES_LOOKED_AT = 10, 2_000
ORDERS_MOST = 10
SUBSCRIPTIONS_MOST = 200


@dataclass(frozen=True, slots=True)
class Key:
    """A signing secret without its value."""

    secret: EndpointSecret
    signs: bool
    due: str


class SubscriberPage(ConsoleView):
    def get(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint, period, now = endpoint_of(self.principal, endpoint_id), request.GET.get("period", ""), timezone.now()
        if period and period not in PERIODS:
            return redirect("subscriber", endpoint_id)
        ever = list(Subscription.everything.filter(endpoint=endpoint).order_by("slug")[:SUBSCRIPTIONS_MOST])
        health = health_of(endpoint, ever, now)
        context = _frame(endpoint, self.principal, now) | {"health": health, "period": period or DEFAULT_PERIOD}
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_subscriber.html", context)
        context |= {"subscriptions": [row for row in ever if row.archived_at is None], "keys": _keys(endpoint, now)}
        context |= {"charts": _charts(endpoint.pk, period or DEFAULT_PERIOD, health, now), "periods": PERIODS.items()}
        context |= {"orders": _orders(health)}
        context |= {"entries": _entries(endpoint, ever) if context["may_administer"] else None}
        return render(request, "console/subscriber.html", context)


class SubscriberYaml(ConsoleView):
    """An endpoint as the subscriptions file has it, to be read, copied and downloaded; never a secret."""

    def get(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint = endpoint_of(self.principal, endpoint_id)
        exported = export_endpoint(endpoint)
        text = exported.text(endpoint.tenant.slug) if exported else ""
        if exported and "download" in request.GET:
            name = f"{endpoint.tenant.slug}-{endpoint.slug}.yaml"
            return HttpResponse(
                text, "application/yaml", headers={"Content-Disposition": f'attachment; filename="{name}"'}
            )
        context = {"endpoint": endpoint, "text": text, "needed": exported.needed if exported else {}}
        return render(request, "console/subscriber_yaml.html", context)


def endpoint_of(principal: Principal, endpoint_id: int, permission: Permission = Permission.VIEW) -> Endpoint:
    """Raises Http404 or PermissionDenied."""
    rows = within(Endpoint.objects.select_related("tenant"), principal)
    endpoint = get_object_or_404(rows, pk=endpoint_id)
    require(principal, permission, endpoint.tenant_id)
    return endpoint


def _frame(endpoint: Endpoint, principal: Principal, now: datetime) -> dict[str, object]:
    return {
        "endpoint": endpoint,
        "destination": destination_of(endpoint),
        "is_signed": is_signed(endpoint),
        "needs_approval": needs_approval(endpoint),
        "may_operate": principal.may(Permission.OPERATE, endpoint.tenant_id),
        "may_replay": principal.may(Permission.REPLAY, endpoint.tenant_id),
        "may_administer": principal.may(Permission.ADMINISTER, endpoint.tenant_id),
        "now": now,
    }


def _keys(endpoint: Endpoint, now: datetime) -> list[Key]:
    """Those that sign, and the last ones that did. One query."""
    if not is_signed(endpoint):
        return []
    rows = list(endpoint.secrets.select_related("endpoint").defer("sealed_secret").order_by("-created_at", "-id")[:6])
    return [
        Key(row, row.expires_at is None or row.expires_at > now, age_of(row).words(now) if not row.expires_at else "")
        for row in rows
    ]


def _charts(endpoint_id: int, period: str, health: Health, now: datetime) -> list[Chart]:
    """Of an hour and a day the sums are known; a week is read."""
    if period == "1h":
        whole = dict(list(health.minutes.items())[:-1])  # the running minute is a part only
        return charts_of(whole, timedelta(minutes=1))
    if period == "24h":
        return charts_of(health.hours, HOUR)
    until = hour_of(now) + HOUR
    return charts_of(by_step(until - WEEK, until, timedelta(hours=4), endpoint_id=endpoint_id), timedelta(hours=4))


def charts_of(steps: Steps, step: timedelta) -> list[Chart]:
    """Success, latency and volume. Pure."""
    starts, rates = list(steps), [Rates.of(sums) for sums in steps.values()]
    counted = [float(sums.delivered) for sums in steps.values()], [float(sums.failed) for sums in steps.values()]
    target = Target(GOOD_SHARE, f"{GOOD_SHARE:.0%}")
    success, p95 = Series("success", [each.share for each in rates]), Series("p95", [each.p95_ms for each in rates])
    volume = [Series("delivered", counted[0]), Series("failed", counted[1])]
    return [
        chart(Plot("success", "Success of attempts", starts, step, [success], Unit.SHARE, target=target, low=None)),
        chart(Plot("latency", "Latency, accepted to answered", starts, step, [p95], Unit.MS)),
        chart(Plot("volume", "Attempts", starts, step, volume, Unit.COUNT, Shape.AREA)),
    ]


def _orders(health: Health) -> list[WorkOrder]:
    """Not closed, about one of its open alerts or newest deliveries. Index: work_order_link_target."""
    targets = [*(alert.pk for alert in health.alerts), *health.recent.ids]
    linked = WorkOrderLink.objects.filter(target_id__in=targets).values("work_order_id")
    return list(WorkOrder.objects.unfinished().filter(pk__in=linked).order_by("-pk")[:ORDERS_MOST]) if targets else []


def _entries(endpoint: Endpoint, subscriptions: Sequence[Subscription]) -> list[AuditEntry]:
    """The last ones about it and its subscriptions, among the newest of its chain. Index: audit_entry_chain_at."""
    newest = AuditEntry.objects.filter(chain=endpoint.tenant.slug).order_by("-at").values("pk")[:ENTRIES_LOOKED_AT]
    targets = [f"endpoint:{endpoint.pk}", *(f"subscription:{row.pk}" for row in subscriptions)]
    return list(AuditEntry.objects.filter(pk__in=newest, target__in=targets).order_by("-at")[:ENTRIES_MOST])
