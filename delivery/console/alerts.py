"""The console's pages of alerts: the list, open ones first, and one with its incident and who was called."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from delivery.alerting import absolute, incidents
from delivery.alerting.kinds import RuleKind
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.alert_words import calls_of, measures, other_details
from delivery.console.list_filter import Field, ListFilter, tenant_field
from delivery.console.paging import Cursor, capped_count, page_of
from delivery.console.views import LIVE_ID
from delivery.models import Alert, AlertContact, AlertRule, AlertSeverity, AlertState, LinkKind, Page
from delivery.work_orders.linking import orders_of
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import require, within
from subscriptions.models import Endpoint, Tenant

OPEN = "open"
OPEN_MOST, OTHERS_MOST, CALLS_MOST = 100, 20, 200
STATES = [(OPEN, "Open"), *((state.value, state.label) for state in AlertState)]
STATE = Field("state", "State", "All, open first", STATES)
SEVERITY = Field("severity", "Severity", "All severities", [(each.value, each.label) for each in AlertSeverity])
KIND = Field("kind", "Kind", "All kinds", [(kind.value, kind.label) for kind in RuleKind])


class AlertList(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        cursor = Cursor.of(request.GET)
        applied = ListFilter.of(request.GET.dict(), [STATE, SEVERITY, KIND, tenant_field(request)])
        if "" in request.GET.values():  # a form without JavaScript sends its empty fields, too
            return redirect(f"{reverse('alerts')}?{applied.query}".rstrip("?"))
        rows = _filtered(_named(within(Alert.objects.select_related("incident"), self.principal)), applied)
        count, more = capped_count(rows)
        open_rows, rows = _open_first(rows, applied, cursor)
        page = page_of(rows, cursor)
        context = {
            "open_rows": open_rows[:OPEN_MOST],
            "more_open": len(open_rows) > OPEN_MOST,
            "page": page,
            "to_acknowledge": {row.pk for row in [*open_rows, *page.rows] if _is_to_take(self.principal, row)},
            "count": count,
            "more": more,
            "filter": applied,
            "is_newest": cursor.is_newest,
        }
        live = htmx_of(request).target == LIVE_ID
        return render(request, "console/_alerts.html" if live else "console/alerts.html", context)


class AlertPage(ConsoleView):
    def get(self, request: HttpRequest, alert_id: UUID) -> HttpResponse:
        alert = _alert(self.principal, alert_id)
        context = {
            "alert": alert,
            "incident": alert.incident,
            "calls": _calls(alert),
            "advice_url": absolute.runbook_url(alert.kind)
            if settings.RUNBOOK_URL
            else absolute.runbook_path(alert.kind),
            "may_acknowledge": _can_acknowledge(self.principal, alert),
        }
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_alert.html", context)
        context |= {
            "measures": measures(alert),
            "details": other_details(alert),
            "others": _others(alert),
            "orders": orders_of(LinkKind.ALERT, alert.pk),
            "may_operate": alert.tenant_id is not None and self.principal.may(Permission.OPERATE, alert.tenant_id),
            "rule_url": _rule_url(self.principal, alert),
        }
        return render(request, "console/alert.html", context)


class AlertAcknowledge(ConsoleView):
    """POST only: the alert's whole incident is in hand."""

    permission = Permission.OPERATE

    def post(self, request: HttpRequest, alert_id: UUID) -> HttpResponse:
        alert = _alert(self.principal, alert_id)
        require(self.principal, self.permission, alert.tenant_id)
        if alert.incident_id and incidents.acknowledge(alert.incident_id, self.principal.actor, timezone.now()):
            messages.success(request, "Acknowledged. Whoever was called is told.")
        else:
            messages.error(request, "Not acknowledged: it is over, or somebody has it in hand already.")
        return redirect("alert", alert_id)


def _filtered(rows: QuerySet[Alert], applied: ListFilter) -> QuerySet[Alert]:
    given = {
        "severity": applied.chosen("severity"),
        "kind": applied.chosen("kind"),
        "tenant_slug": applied.chosen("tenant"),
    }
    if applied.chosen("state") == OPEN:
        rows = rows.filter(resolved_at=None)
    else:
        given["state"] = applied.chosen("state")
    return rows.filter(**{name: value for name, value in given.items() if value})


def _open_first(rows: QuerySet[Alert], applied: ListFilter, cursor: Cursor) -> tuple[list[Alert], QuerySet[Alert]]:
    """Those that are put before the newest page, one more than are shown; and the rows that the pages go through."""
    if applied.chosen("state"):
        return [], rows
    shown = list(rows.filter(resolved_at=None).order_by("-pk")[: OPEN_MOST + 1]) if cursor.is_newest else []
    return shown, rows.filter(resolved_at__isnull=False)


def _named(rows: QuerySet[Alert]) -> QuerySet[Alert]:
    """`tenant_slug` and `endpoint_slug`: an alert has their numbers alone, since it outlives them."""
    tenants = Tenant.objects.order_by().filter(pk=OuterRef("tenant_id")).values("slug")
    endpoints = Endpoint.objects.order_by().filter(pk=OuterRef("endpoint_id")).values("slug")
    named: QuerySet[Alert] = rows.annotate(tenant_slug=Subquery(tenants), endpoint_slug=Subquery(endpoints))
    return named


def _alert(principal: Principal, alert_id: UUID) -> Alert:
    """Raises Http404."""
    rows = _named(within(Alert.objects.select_related("incident"), principal))
    alert: Alert = get_object_or_404(rows, pk=alert_id)
    return alert


def _can_acknowledge(principal: Principal, alert: Alert) -> bool:
    incident = alert.incident
    is_open = incident is not None and incident.resolved_at is None and incident.acknowledged_at is None
    return is_open and principal.may(Permission.OPERATE, alert.tenant_id)


def _is_to_take(principal: Principal, alert: Alert) -> bool:
    """In the list; on its own page a resolved alert's incident can still be taken in hand."""
    return alert.resolved_at is None and _can_acknowledge(principal, alert)


def _others(alert: Alert) -> list[Alert]:
    if alert.incident_id is None:
        return []
    others = Alert.objects.filter(incident_id=alert.incident_id).exclude(pk=alert.pk)
    return list(others.order_by(F("resolved_at").desc(nulls_first=True), "-pk")[:OTHERS_MOST])


def _calls(alert: Alert) -> list[Any]:
    """The platform's contacts are hidden from a tenant's people; that they were called is not."""
    rows = (
        list(Page.objects.filter(incident_id=alert.incident_id).order_by("pk")[:CALLS_MOST])
        if alert.incident_id
        else []
    )
    names = AlertContact.objects.in_bulk({row.contact_id for row in rows}) if rows else {}
    return calls_of(rows, {pk: contact.name for pk, contact in names.items()})


def _rule_url(principal: Principal, alert: Alert) -> str:
    """Where its rule is muted in the admin, for those who may: the row that holds for it, or a new one for its place."""
    if alert.kind not in RuleKind.values or not principal.may(Permission.ADMINISTER, alert.tenant_id):
        return ""
    place = {"tenant_id": alert.tenant_id if alert.endpoint_id is None else None, "endpoint_id": alert.endpoint_id}
    rule = AlertRule.objects.filter(kind=alert.kind, **place).first()
    given = {"kind": alert.kind, "tenant": place["tenant_id"], "endpoint": alert.endpoint_id}
    query = urlencode({name: value for name, value in given.items() if value})
    try:
        if rule is not None:
            return reverse("admin:delivery_alertrule_change", args=[rule.pk])
        return f"{reverse('admin:delivery_alertrule_add')}?{query}"
    except NoReverseMatch:  # rules have no page there
        return ""
