from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join

from audit.audited_admin import AuditedAdmin
from eventcenter.access.admin_scope import TenantScoped
from subscriptions.dry_run import LOOKS_MOST
from subscriptions.forms import SubscriptionForm
from subscriptions.managed import is_managed, warn_managed
from subscriptions.models import Ordering, Subscription
from subscriptions.preview import BUTTON, look_back, preview_of, previewed
from subscriptions.retry_policy import NAME, NAMED_POLICIES, STANDARD, policy_text

POLICY_WORDS = format_html(
    "{} What is filled in below takes the place of the policy's own.",
    format_html_join(
        "",
        "<p><b>{}</b>: {}. {}.</p>",
        ((named.label, named.purpose, policy_text(named.policy)) for named in NAMED_POLICIES.values()),
    ),
)
ORDER_WORDS = (
    "In order: of the events with one partition key (or subject) the next is sent when the one before it has ended. "
    "A failing delivery then holds up those behind it for as long as it is retried."
)


@admin.register(Subscription)
class SubscriptionAdmin(TenantScoped, AuditedAdmin[Subscription]):
    noun = "subscription"
    audit_values = ("slug", "endpoint", "types", "tags", "filters", "ordering", "retry_policy", "active")
    form = SubscriptionForm
    change_form_template = "admin/subscriptions/subscription/change_form.html"
    list_display = ("slug", "tenant", "endpoint_slug", "active", "type_list", "tag_list", "rules", "managed_by")
    list_select_related = ("tenant", "endpoint")
    list_filter = ("active", ("tenant", admin.RelatedOnlyFieldListFilter), "managed_by")
    search_fields = ("slug", "tenant__slug", "endpoint__slug", "types")
    ordering = ("tenant__slug", "slug")
    autocomplete_fields = ("tenant", "endpoint")
    readonly_fields = ("managed_by", "created_at")
    fieldsets = (
        (None, {"fields": ("tenant", "slug", "endpoint", "active")}),
        ("Which events", {"fields": ("types", "tags", "filters")}),
        (
            "Retries",
            {
                "fields": ("retry_name", "retry_waits", "retry_jitter", "retry_max_age", "retry_permanent"),
                "description": POLICY_WORDS,
            },
        ),
        ("Order", {"fields": ("ordering",), "description": ORDER_WORDS}),
        ("About", {"fields": ("managed_by", "created_at")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Subscription | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "tenant") if obj else self.readonly_fields

    def get_form(
        self, request: HttpRequest, obj: Subscription | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Subscription]]:
        form = super().get_form(request, obj, change, **kwargs)
        return previewed(form) if BUTTON in request.POST else form

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        last = look_back(request.POST)
        about: dict[str, Any] = {"preview_last": last, "preview_most": LOOKS_MOST}
        if BUTTON in request.POST:
            about |= {"preview_asked": True, "preview": preview_of(context["adminform"].form, last)}
        return super().render_change_form(request, context | about, *args, **kwargs)

    def audit_chain(self, obj: Subscription) -> str:
        return obj.tenant.slug

    def save_model(self, request: HttpRequest, obj: Subscription, form: ModelForm[Subscription], change: bool) -> None:
        super().save_model(request, obj, form, change)
        if is_managed(obj):
            warn_managed(request, obj)

    @admin.display(description="Endpoint", ordering="endpoint__slug")
    def endpoint_slug(self, row: Subscription) -> str:
        return row.endpoint.slug

    @admin.display(description="Types")
    def type_list(self, row: Subscription) -> str:
        return ", ".join(row.types)

    @admin.display(description="Tags")
    def tag_list(self, row: Subscription) -> str:
        return ", ".join(row.tags) or "any"

    @admin.display(description="Retries")
    def rules(self, row: Subscription) -> str:
        policy = row.retry_policy if isinstance(row.retry_policy, dict) else {}
        changed = ", changed" if policy.keys() - {NAME} else ""
        order = "" if row.ordering == Ordering.NONE else "; in order"
        return f"{policy.get(NAME, STANDARD)}{changed}{order}"
