from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from audit.audited_admin import AuditedAdmin
from eventcenter.access.admin_scope import TenantScoped
from subscriptions.admin.tenant_contents import contents
from subscriptions.managed import is_managed, warn_managed
from subscriptions.models import Tenant


@admin.register(Tenant)
class TenantAdmin(TenantScoped, AuditedAdmin[Tenant]):
    tenant_column = "id"
    noun = "tenant"
    audit_values = ("slug", "name", "active", "rate_limit", "approval_replay_count")
    list_display = ("slug", "name", "active", "rate_limit", "endpoint_count", "subscription_count", "created_at")
    list_filter = ("active",)
    search_fields = ("slug", "name")
    readonly_fields = ("created_at",)
    change_form_template = "admin/subscriptions/tenant/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        live = Count("subscriptions", filter=Q(subscriptions__active=True), distinct=True)
        rows: QuerySet[Tenant] = super().get_queryset(request)
        return rows.annotate(endpoints_n=Count("endpoints", distinct=True), live_n=live)

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        """The slug stands in events, files and URLs of others: it is given once."""
        return ("slug", "created_at") if obj else ("created_at",)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tenant = self.get_object(request, object_id)
        about = {"sections": contents(request, tenant)} if tenant else {}
        return super().change_view(request, object_id, form_url, about | (extra_context or {}))

    def audit_chain(self, obj: Tenant) -> str:
        return obj.slug

    def save_model(self, request: HttpRequest, obj: Tenant, form: ModelForm[Tenant], change: bool) -> None:
        super().save_model(request, obj, form, change)
        if is_managed(obj):
            warn_managed(request, obj)

    @admin.display(description="Endpoints")
    def endpoint_count(self, tenant: Tenant) -> int:
        return int(getattr(tenant, "endpoints_n"))  # noqa: B009 - an annotation

    @admin.display(description="Active subscriptions")
    def subscription_count(self, tenant: Tenant) -> int:
        return int(getattr(tenant, "live_n"))  # noqa: B009 - an annotation
