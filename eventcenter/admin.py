from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from audit.audited_admin import AuditedAdmin, ReadOnlyAdmin, actor_of
from audit.shown_once import Shown, ShowsOnce, once_page, show_once
from eventcenter.access import admin as access_admin
from eventcenter.access.admin_scope import TenantScoped
from eventcenter.adapters import admin as adapters_admin
from eventcenter.log_pages import admin as log_admin
from eventcenter.log_pages.reading import pretty, shown
from eventcenter.models import EventType, FeatureFlag, PublishKey
from eventcenter.publish_keys import age_of, rotate_publish_key, seal_new_secret

# Registers roles, API keys and the trail; adapters; events and what was rejected.
__all__ = ["access_admin", "adapters_admin", "log_admin"]


@admin.register(PublishKey)
class PublishKeyAdmin(TenantScoped, ShowsOnce, AuditedAdmin[PublishKey]):
    """The secret is made with the key, shown once, and never again."""

    noun = "publish_key"
    audit_values = ("name", "active")
    list_display = ("key_id", "tenant", "name", "active", "secret_age", "rotation", "last_used_at")
    actions = ("rotate_selected",)
    list_select_related = ("tenant",)
    list_filter = ("active", ("tenant", admin.RelatedOnlyFieldListFilter))
    search_fields = ("key_id", "name", "tenant__slug")
    ordering = ("tenant__slug", "key_id")
    autocomplete_fields = ("tenant",)
    readonly_fields = ("key_id", "created_at", "last_used_at", "secret_age", "rotation")
    fields: ClassVar = ("tenant", "name", "active", "key_id", "created_at", "last_used_at", "secret_age", "rotation")

    def get_readonly_fields(self, request: HttpRequest, obj: PublishKey | None = None) -> tuple[str, ...]:
        """A key stays its tenant's: a move would hand one tenant's publisher to another."""
        return (*self.readonly_fields, "tenant") if obj else self.readonly_fields

    def audit_chain(self, obj: PublishKey) -> str:
        return obj.tenant.slug

    def audit_target(self, obj: PublishKey) -> str:
        return f"publish_key:{obj.key_id}"

    def save_model(self, request: HttpRequest, obj: PublishKey, form: ModelForm[PublishKey], change: bool) -> None:
        secret = "" if change else seal_new_secret(obj)
        super().save_model(request, obj, form, change)
        if secret:
            show_once(request, Shown(f"The secret of {obj.key_id}:", secret))

    @admin.action(description="Rotate the secret (the old one is good for 24 hours)", permissions=["change"])
    def rotate_selected(self, request: HttpRequest, queryset: QuerySet[PublishKey]) -> HttpResponse | None:
        for key in queryset:
            secret = rotate_publish_key(key, actor_of(request))
            show_once(request, Shown(f"The new secret of {key.key_id}:", secret))
        return once_page(request, self.model)

    @admin.display(description="Secret's age", ordering="-secret_created_at")
    def secret_age(self, key: PublishKey) -> str:
        return timesince(key.secret_created_at) if key.pk else "–"

    @admin.display(description="Rotation")
    def rotation(self, key: PublishKey) -> str:
        if not key.pk:
            return "–"
        now, until = timezone.now(), key.previous_expires_at
        overlap = f"; the one before is good until {until:%Y-%m-%d %H:%M} UTC" if until and until > now else ""
        return age_of(key).words(now) + overlap


@admin.register(FeatureFlag)
class FeatureFlagAdmin(AuditedAdmin[FeatureFlag]):
    """The flags are those of eventcenter.flags: none is added here."""

    noun = "feature_flag"
    audit_values = ("everyone", "tenants")
    list_display = ("name", "everyone", "tenant_names", "note", "modified")
    list_filter = ("everyone",)
    search_fields = ("name", "note", "tenants__slug")
    readonly_fields = ("name", "modified")
    autocomplete_fields = ("tenants",)
    fields: ClassVar = ("name", "everyone", "tenants", "note", "modified")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FeatureFlag]:
        return super().get_queryset(request).prefetch_related("tenants")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def audit_target(self, obj: FeatureFlag) -> str:
        return f"feature_flag:{obj.name}"

    @admin.display(description="Tenants")
    def tenant_names(self, flag: FeatureFlag) -> str:
        return ", ".join(str(tenant) for tenant in flag.tenants.all())


@admin.register(EventType)
class EventTypeAdmin(ReadOnlyAdmin[EventType]):
    """Brought up to the schema files by `manage.py sync_event_types`."""

    list_display = ("name", "version", "active", "description", "updated_at")
    list_filter = ("active",)
    search_fields = ("name", "description")
    fields: ClassVar = ("name", "version", "active", "description", "schema_json", "updated_at")
    readonly_fields = ("schema_json",)

    @admin.display(description="Schema")
    def schema_json(self, row: EventType) -> SafeString:
        return shown(pretty(row.schema))
