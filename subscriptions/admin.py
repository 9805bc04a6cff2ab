from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Count, Max, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince

from audit.audited_admin import AuditedAdmin, actor_of
from subscriptions.forms import EndpointForm, SubscriptionForm
from subscriptions.models import Endpoint, EndpointSecret, Subscription, Tenant
from subscriptions.services import add_secret, pause, resume, rotate_secret

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[EndpointSecret, Endpoint]
else:
    TabularInline = admin.TabularInline

NEW_SECRET = "The signing secret of {} is {} — copy it now, it is not shown again."  # noqa: S105 - a sentence


@admin.register(Tenant)
class TenantAdmin(AuditedAdmin[Tenant]):
    noun = "tenant"
    audit_values = ("slug", "name", "active")
    list_display = ("slug", "name", "active", "endpoint_count", "subscription_count", "created_at")
    list_filter = ("active",)
    search_fields = ("slug", "name")
    readonly_fields = ("created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        live = Count("subscriptions", filter=Q(subscriptions__active=True), distinct=True)
        return super().get_queryset(request).annotate(endpoints_n=Count("endpoints", distinct=True), live_n=live)

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        """The slug stands in events, files and URLs of others: it is given once."""
        return ("slug", "created_at") if obj else ("created_at",)

    def audit_chain(self, obj: Tenant) -> str:
        return obj.slug

    @admin.display(description="Endpoints")
    def endpoint_count(self, tenant: Tenant) -> int:
        return int(getattr(tenant, "endpoints_n"))  # noqa: B009 - an annotation

    @admin.display(description="Active subscriptions")
    def subscription_count(self, tenant: Tenant) -> int:
        return int(getattr(tenant, "live_n"))  # noqa: B009 - an annotation


class SecretInline(TabularInline):
    """Ages, never values."""

    model = EndpointSecret
    fields: ClassVar = ("age", "state")
    readonly_fields = ("age", "state")
    ordering = ("-created_at", "-id")
    extra = 0
    verbose_name_plural = "signing secrets"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Age")
    def age(self, secret: EndpointSecret) -> str:
        return timesince(secret.created_at)

    @admin.display(description="Signs")
    def state(self, secret: EndpointSecret) -> str:
        if secret.expires_at is None:
            return "until it is rotated"
        over = secret.expires_at <= timezone.now()
        return "no longer" if over else f"until {secret.expires_at:%Y-%m-%d %H:%M} UTC"


@admin.register(Endpoint)
class EndpointAdmin(AuditedAdmin[Endpoint]):
    noun = "endpoint"
    audit_values = ("slug", "name", "content_mode", "timeout_s", "lane")
    form = EndpointForm
    list_display = ("slug", "tenant", "url", "state", "secret_age", "managed_by")
    list_select_related = ("tenant",)
    list_filter = ("state", "tenant", "managed_by")
    search_fields = ("slug", "name", "url", "tenant__slug")
    ordering = ("tenant__slug", "slug")
    autocomplete_fields = ("tenant",)
    readonly_fields = ("state", "state_reason", "managed_by", "created_at")
    fieldsets = (
        (None, {"fields": ("tenant", "slug", "name", "url", "content_mode", "timeout_s", "lane")}),
        ("Custom headers", {"fields": ("new_headers", "remove_headers")}),
        ("State", {"fields": ("state", "state_reason", "managed_by", "created_at")}),
    )
    inlines = (SecretInline,)
    actions = ("pause_selected", "resume_selected", "rotate_selected")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        return super().get_queryset(request).annotate(newest_secret=Max("secrets__created_at"))

    def get_readonly_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> tuple[str, ...]:
        """Deliveries of the past belong to the tenant: an endpoint does not move."""
        return (*self.readonly_fields, "tenant") if obj else self.readonly_fields

    def audit_chain(self, obj: Endpoint) -> str:
        return obj.tenant.slug

    def save_model(self, request: HttpRequest, obj: Endpoint, form: ModelForm[Endpoint], change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            messages.warning(request, format_html(NEW_SECRET, obj, add_secret(obj, actor_of(request))))
        elif obj.managed_by:
            _warn_managed(request, obj)

    @admin.display(description="Newest secret")
    def secret_age(self, endpoint: Endpoint) -> str:
        newest = getattr(endpoint, "newest_secret", None)
        return f"{timesince(newest)} old" if newest else "none: not signed"

    @admin.action(description="Pause: hold their deliveries", permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        reason = f"Paused by {request.user.get_username()}."
        done = sum(pause(row, actor_of(request), reason) for row in queryset.select_related("tenant"))
        messages.success(request, f"{done} paused. Their deliveries wait; no attempt is spent.")

    @admin.action(description="Resume: enable them again", permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        done = sum(resume(row, actor_of(request)) for row in queryset.select_related("tenant"))
        messages.success(request, f"{done} resumed.")

    @admin.action(
        description="Rotate the signing secret (the old one signs along for 24 hours)", permissions=["change"]
    )
    def rotate_selected(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        for row in queryset.select_related("tenant"):
            messages.warning(request, format_html(NEW_SECRET, row, rotate_secret(row, actor_of(request))))


@admin.register(Subscription)
class SubscriptionAdmin(AuditedAdmin[Subscription]):
    noun = "subscription"
    audit_values = ("slug", "endpoint", "types", "tags", "filters", "active")
    form = SubscriptionForm
    list_display = ("slug", "tenant", "endpoint_slug", "type_list", "tag_list", "active", "managed_by")
    list_select_related = ("tenant", "endpoint")
    list_filter = ("active", "tenant", "managed_by")
    search_fields = ("slug", "tenant__slug", "endpoint__slug", "types")
    ordering = ("tenant__slug", "slug")
    autocomplete_fields = ("tenant", "endpoint")
    readonly_fields = ("managed_by", "created_at")
    fields: ClassVar = ("tenant", "slug", "endpoint", "types", "tags", "filters", "active", "managed_by", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Subscription | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "tenant") if obj else self.readonly_fields

    def audit_chain(self, obj: Subscription) -> str:
        return obj.tenant.slug

    def save_model(self, request: HttpRequest, obj: Subscription, form: ModelForm[Subscription], change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.managed_by:
            _warn_managed(request, obj)

    @admin.display(description="Endpoint", ordering="endpoint__slug")
    def endpoint_slug(self, row: Subscription) -> str:
        return row.endpoint.slug

    @admin.display(description="Types")
    def type_list(self, row: Subscription) -> str:
        return ", ".join(row.types)

    @admin.display(description="Tags")
    def tag_list(self, row: Subscription) -> str:
        return ", ".join(row.tags) or "any"


def _warn_managed(request: HttpRequest, row: Endpoint | Subscription) -> None:
    text = f"{row} belongs to the subscriptions file: the next sync_subscriptions sets it back to what the file says."
    messages.warning(request, text)
