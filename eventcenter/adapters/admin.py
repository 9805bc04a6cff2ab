from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.timesince import timesince

from audit.audited_admin import AuditedAdmin, actor_of
from audit.shown_once import Shown, ShowsOnce, once_page, show_once
from eventcenter.access.admin_scope import TenantScoped
from eventcenter.adapters import counts
from eventcenter.adapters.forms import AdapterForm
from eventcenter.adapters.registry import FORGES
from eventcenter.adapters.services import pause, resume, rotate_secret, seal_new_secret
from eventcenter.models import Adapter, AdapterKind


@admin.register(Adapter)
class AdapterAdmin(TenantScoped, ShowsOnce, AuditedAdmin[Adapter]):
    """The secret is made with the adapter, shown once, and never again. The page of an adapter has the URL for its forge
    and what came of the last day's messages."""

    noun = "adapter"
    audit_values = ("name", "kind", "active", "prereleases", "tag_prefix", "asset_pattern")
    form = AdapterForm
    change_form_template = "admin/eventcenter/adapter/change_form.html"
    list_display = ("name", "tenant", "kind", "active", "secret_age", "created_at")
    list_select_related = ("tenant",)
    list_filter = ("kind", "active", ("tenant", admin.RelatedOnlyFieldListFilter))
    search_fields = ("name", "tenant__slug", "public_id")
    ordering = ("tenant__slug", "name")
    autocomplete_fields = ("tenant",)
    readonly_fields = ("secret_age", "created_at")
    actions = ("pause_selected", "resume_selected", "rotate_selected")
    fieldsets: ClassVar = (
        (None, {"fields": ("tenant", "kind", "name", "active")}),
        ("Which releases", {"fields": ("repositories", "tag_prefix", "prereleases", "media_types")}),
        ("As what", {"fields": ("named_plugins", "asset_pattern")}),
        ("Secret", {"fields": ("secret_age", "created_at")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Adapter | None = None) -> tuple[str, ...]:
        """A URL stays its tenant's and its forge's."""
        return (*self.readonly_fields, "tenant", "kind") if obj else self.readonly_fields

    def audit_chain(self, obj: Adapter) -> str:
        return obj.tenant.slug

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        adapter = self.get_object(request, object_id)
        about = self._about(request, adapter) if adapter else {}
        return super().change_view(request, object_id, form_url, about | (extra_context or {}))

    def _about(self, request: HttpRequest, adapter: Adapter) -> dict[str, object]:
        return {
            "forge_url": request.build_absolute_uri(reverse("adapter", args=[adapter.public_id])),
            "forge_setup": FORGES[AdapterKind(adapter.kind)].setup,
            "lines": counts.lines(adapter, timezone.now()),
        }

    def save_model(self, request: HttpRequest, obj: Adapter, form: ModelForm[Adapter], change: bool) -> None:
        secret = "" if change else seal_new_secret(obj)
        super().save_model(request, obj, form, change)
        if secret:
            show_once(request, Shown(f"The secret of {obj}:", secret))

    @admin.display(description="Secret's age")
    def secret_age(self, adapter: Adapter) -> str:
        return timesince(adapter.secret_made_at) if adapter.pk else "made when this is saved"

    @admin.action(description="Pause: answer, and publish nothing", permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Adapter]) -> None:
        done = sum(pause(row, actor_of(request)) for row in queryset.select_related("tenant"))
        messages.success(request, f"{done} paused. Releases that come now are ignored; the forge can send them again.")

    @admin.action(description="Resume: publish again", permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Adapter]) -> None:
        done = sum(resume(row, actor_of(request)) for row in queryset.select_related("tenant"))
        messages.success(request, f"{done} resumed.")

    @admin.action(description="Rotate the secret (the old one is taken along for 24 hours)", permissions=["change"])
    def rotate_selected(self, request: HttpRequest, queryset: QuerySet[Adapter]) -> HttpResponse | None:
        for row in queryset.select_related("tenant"):
            show_once(request, Shown(f"The new secret of {row}:", rotate_secret(row, actor_of(request))))
        return once_page(request, self.model)
