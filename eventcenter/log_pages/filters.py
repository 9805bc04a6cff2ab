"""Filters that an index answers: by tenant, and by time as a range of ids."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from eventcenter.access.principal import principal_of
from eventcenter.access.scoping import within
from eventcenter.ids import id_floor

WINDOWS: dict[str, tuple[str, timedelta]] = {
    "5m": ("Last 5 minutes", timedelta(minutes=5)),
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
}
# A longer list is no help; others are written into the address: ?tenant=SLUG.
LISTED_TENANTS = 100


class WindowFilter(admin.SimpleListFilter):
    """By the time in the id."""

    title = "time"
    parameter_name = "within"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in WINDOWS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        window = WINDOWS.get(self.value() or "")
        return queryset if window is None else queryset.filter(pk__gte=id_floor(timezone.now() - window[1]))


class TenantFilter(admin.SimpleListFilter):
    """Tenants as they stand in their own small table: those of the log would be a scan of it."""

    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        slugs = _tenants(request).order_by("slug").values_list("slug", flat=True)[:LISTED_TENANTS]
        return [(slug, slug) for slug in slugs]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        if not str(self.value()).isprintable():  # PostgreSQL takes no NUL
            return queryset.none()
        key = _tenants(request).filter(slug=self.value()).values_list("pk", flat=True).first()
        return queryset.none() if key is None else queryset.filter(tenant_id=key)


class TenantSlugFilter(TenantFilter):
    """For a table that has tenants by name."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        return queryset.filter(tenant_slug=self.value()) if str(self.value()).isprintable() else queryset.none()


def _tenants(request: HttpRequest) -> QuerySet[Any]:
    return within(apps.get_model("subscriptions.Tenant")._default_manager.all(), principal_of(request), column="id")
