"""What a tenant has, on its page: counts, the first of each kind, and the way to all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from eventcenter.access.models import ApiKey, Membership
from eventcenter.models import Adapter, PublishKey
from subscriptions.models import Endpoint, Subscription, Tenant

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Line:
    """One of them: its name, a word on its state, and its page."""

    text: str
    note: str
    page: str


@dataclass(frozen=True, slots=True)
class Section:
    """`lines` are the first of `count`; `everything` is the list of all, `add` the form for another or ""."""

    label: str
    count: int
    lines: list[Line]
    everything: str
    add: str


@dataclass(frozen=True, slots=True)
class Kind:
    rows: Callable[[Tenant], QuerySet[Any]]
    text: Callable[[Any], str]
    note: Callable[[Any], str]


def _in_use(row: Any) -> str:
    return "active" if row.active else "not active"


KINDS = (
    Kind(lambda tenant: Endpoint.objects.filter(tenant=tenant), lambda row: row.slug, lambda row: row.state),
    Kind(lambda tenant: Subscription.objects.filter(tenant=tenant), lambda row: row.slug, _in_use),
    Kind(
        lambda tenant: Membership.objects.filter(tenant=tenant).select_related("user").order_by("user__username"),
        lambda row: row.user.get_username(),
        lambda row: row.get_role_display(),
    ),
    Kind(
        lambda tenant: ApiKey.objects.filter(tenant=tenant).order_by("-pk"),
        lambda row: f"{row.key_id} ({row.name})",
        lambda row: "revoked" if row.revoked_at else ", ".join(row.scopes),
    ),
    Kind(lambda tenant: PublishKey.objects.filter(tenant=tenant).order_by("key_id"), str, _in_use),
    Kind(lambda tenant: Adapter.objects.filter(tenant=tenant).order_by("name"), str, _in_use),
)


def contents(request: HttpRequest, tenant: Tenant) -> list[Section]:
    """Of what the person may see there. Two queries each."""
    found = []
    for kind in KINDS:
        rows = kind.rows(tenant)
        name = f"{rows.model._meta.app_label}.{{}}_{rows.model._meta.model_name}"
        if request.user.has_perm(name.format("view"), tenant):
            found.append(_section(kind, rows, tenant, may_add=request.user.has_perm(name.format("add"), tenant)))
    return found


def _section(kind: Kind, rows: QuerySet[Any], tenant: Tenant, *, may_add: bool) -> Section:
    meta = rows.model._meta
    page = f"admin:{meta.app_label}_{meta.model_name}_"
    lines = [
        Line(kind.text(row), kind.note(row), reverse(f"{page}change", args=[row.pk]))
        for row in rows.order_by(*(rows.query.order_by or ("slug",)))[:SHOWN]
    ]
    everything = f"{reverse(page + 'changelist')}?tenant__id__exact={tenant.pk}"
    add = f"{reverse(page + 'add')}?tenant={tenant.pk}" if may_add else ""
    return Section(str(meta.verbose_name_plural).capitalize(), rows.count(), lines, everything, add)
