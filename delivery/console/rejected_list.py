"""The rejected messages' list: whose they are, its filters, and which rows they find."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest

from delivery.console.event_list import in_span
from delivery.console.list_filter import tenant_field
from delivery.console.log_filter import Field, LogFilter
from delivery.console.window import Window, newest
from eventcenter.access.principal import Principal, principal_of
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import within
from eventcenter.models import RejectedEvent, RejectedEventQuerySet, RejectReason
from subscriptions.models import Tenant

NO_TENANT = "(none)"  # no slug has brackets
WAITING, SETTLED = "waiting", "settled"
STATES = [(WAITING, "Waiting"), (SETTLED, "Re-ingested")]
_PROBLEM = re.compile(r"; (?=[\w.\[\]-]{1,80}: )")


def filter_of(request: HttpRequest) -> LogFilter:
    """One query: the tenants."""
    tenant = tenant_field(request)
    unknown = [(NO_TENANT, "No known tenant")] if principal_of(request).is_platform else []
    fields = (
        Field("tenant", tenant.label, "choice", tenant.every, [*tenant.choices, *unknown]),
        Field("reason", "Reason", "choice", "All reasons", list(RejectReason.choices)),
        Field("state", "State", "choice", "All states", STATES),
        Field("since", "From (UTC)", "moment"),
        Field("until", "Before (UTC)", "moment"),
    )
    return LogFilter.of(request.GET, fields)


def visible(principal: Principal, permission: Permission = Permission.VIEW) -> RejectedEventQuerySet:
    """Those of the tenants in which it is granted; of no known tenant: who has it in all. One query for the others."""
    rows: RejectedEventQuerySet = RejectedEvent.objects.all()
    if principal.tenant_ids(permission) is None:
        return rows
    own = within(Tenant.objects.all(), principal, permission, column="id")
    return rows.filter(tenant_slug__in=list(own.values_list("slug", flat=True)))


def indexed(rows: RejectedEventQuerySet, applied: LogFilter) -> RejectedEventQuerySet:
    """Narrowed by what an index knows: a tenant, a span of time."""
    rows = in_span(rows, applied.moment("since"), applied.moment("until"))
    slug = applied.text("tenant")
    return rows.filter(tenant_slug=slug) if slug and slug != NO_TENANT else rows


def narrowed(rows: RejectedEventQuerySet, applied: LogFilter) -> RejectedEventQuerySet:
    """And by what none knows."""
    if applied.text("tenant") == NO_TENANT:
        rows = rows.exclude(tenant_slug__in=list(Tenant.objects.values_list("slug", flat=True)))
    if applied.text("reason"):
        rows = rows.filter(reason=applied.text("reason"))
    if applied.text("state"):
        rows = rows.waiting() if applied.text("state") == WAITING else rows.settled()
    return rows


def found(applied: LogFilter, principal: Principal, before: UUID | None) -> tuple[RejectedEventQuerySet, Window | None]:
    """The rows that fit, and how far back was looked for them; None where an index finds them all."""
    rows = indexed(visible(principal), applied)
    if not (applied.text("reason") or applied.text("state") or applied.text("tenant") == NO_TENANT):
        return rows, None
    rows, window = newest(rows, before)
    return narrowed(rows, applied), window


@dataclass(frozen=True, slots=True)
class Wrong:
    """One wrong field and what it takes; `field` is empty where the whole message is meant."""

    takes: str
    field: str = ""


def wrong_fields(detail: str) -> list[Wrong]:
    """What a rejection's detail lists."""
    return [_wrong(part) for part in _PROBLEM.split(detail)]


def _wrong(part: str) -> Wrong:
    field, colon, takes = part.partition(": ")
    return Wrong(takes, field) if colon and " " not in field else Wrong(part)
