"""The admin's pages of roles, API keys and the audit trail. Changes are made by the services, with their entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from audit.admin import AuditEntryAdmin
from audit.audited_admin import AuditedAdmin, ReadOnlyAdmin
from audit.models import AuditEntry
from audit.shown_once import Shown, ShowsOnce, show_once
from eventcenter.access import keys, members
from eventcenter.access.admin_scope import TenantScoped
from eventcenter.access.models import ApiKey, Membership
from eventcenter.access.principal import principal_of
from eventcenter.access.roles import KEY_SCOPES, Permission, Role
from eventcenter.log_pages.paging import CappedPaginator

if TYPE_CHECKING:
    MembershipModelForm = forms.ModelForm[Membership]
    ApiKeyModelForm = forms.ModelForm[ApiKey]
else:
    MembershipModelForm = ApiKeyModelForm = forms.ModelForm


class MembershipForm(MembershipModelForm):
    """A person is named, not picked from a list: who else is here is no tenant's business."""

    username = forms.CharField(max_length=150, help_text="The person's name at sign-in.")

    class Meta:
        model = Membership
        fields: ClassVar = ["tenant", "role"]

    def clean_username(self) -> str:
        """Sets the row's user."""
        user = get_user_model().objects.filter(username=self.cleaned_data["username"], is_active=True).first()
        if user is None:
            raise forms.ValidationError("There is no active user of this name.")
        self.instance.user = user
        return str(self.cleaned_data["username"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        user, tenant, role = (getattr(self.instance, "user", None), cleaned.get("tenant"), cleaned.get("role"))
        if user and role and Membership.objects.filter(user=user, tenant=tenant, role=role).exists():
            self.add_error("role", "They have it already.")
        return cleaned


@admin.register(Membership)
class MembershipAdmin(TenantScoped, AuditedAdmin[Membership]):
    """Who has which role where. A role is granted and taken away; it is not edited."""

    noun = "member"
    form = MembershipForm
    list_display = ("user", "tenant_name", "role", "granted_by", "created_at")
    list_select_related = ("user", "tenant")
    list_filter = ("role", ("tenant", admin.RelatedOnlyFieldListFilter))
    search_fields = ("user__username", "tenant__slug")
    fields: ClassVar = ("username", "tenant", "role")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, "delete", obj)

    def get_fields(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        return ("user", "tenant", "role", "granted_by", "created_at") if obj else self.fields

    def get_form(
        self, request: HttpRequest, obj: Membership | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Membership]]:
        """Without a tenant it would be a platform role: those are the platform's to give."""
        form = super().get_form(request, obj, change, **kwargs)
        if obj is None and Permission.ADMINISTER not in principal_of(request).everywhere:
            form.base_fields["tenant"].required = True
        return form

    def save_model(self, request: HttpRequest, obj: Membership, form: ModelForm[Membership], change: bool) -> None:
        members.grant(obj.user, obj.tenant_id, Role(obj.role), principal_of(request).actor)
        obj.pk = Membership.objects.get(user_id=obj.user_id, tenant=obj.tenant, role=obj.role).pk

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        members.revoke(obj, principal_of(request).actor)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for row in queryset.select_related("user", "tenant"):
            members.revoke(row, principal_of(request).actor)

    @admin.display(description="Tenant", ordering="tenant__slug")
    def tenant_name(self, row: Membership) -> str:
        return row.tenant.slug if row.tenant else "all (platform)"


class ApiKeyForm(ApiKeyModelForm):
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, scope.value) for scope in KEY_SCOPES],
        widget=forms.CheckboxSelectMultiple,
        help_text="publish: send events; view: read; replay; operate: pause, resume, test; administer: change and rotate.",
    )

    class Meta:
        model = ApiKey
        fields: ClassVar = ["tenant", "name", "scopes", "expires_at"]

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError("Takes a time in the future.")
        return expires_at


@admin.register(ApiKey)
class ApiKeyAdmin(TenantScoped, ShowsOnce, ReadOnlyAdmin[ApiKey]):
    """Made here, shown once, revoked by the action; never edited."""

    form = ApiKeyForm
    list_display = ("key_id", "tenant", "name", "scope_list", "state", "created_by", "created_at", "last_used_at")
    list_select_related = ("tenant", "created_by")
    list_filter = (("tenant", admin.RelatedOnlyFieldListFilter), ("revoked_at", admin.EmptyFieldListFilter))
    search_fields = ("key_id", "name", "tenant__slug")
    fields: ClassVar = ("tenant", "name", "scopes", "expires_at")
    actions = ("revoke_selected",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("eventcenter.add_apikey")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("eventcenter.change_apikey")

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        shown = ("key_id", "created_by", "created_at", "revoked_at", "last_used_at")
        return (*self.fields, *shown) if obj else self.fields

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ModelForm[ApiKey], change: bool) -> None:
        made = keys.create_api_key(
            obj.tenant_id, obj.name, obj.scopes, principal_of(request).actor, expires_at=obj.expires_at
        )
        obj.pk, obj.key_id = made.key.pk, made.key.key_id
        show_once(request, Shown(f"The API key {made.key.key_id}:", made.text))

    @admin.display(description="Scopes")
    def scope_list(self, row: ApiKey) -> str:
        return ", ".join(row.scopes)

    @admin.display(description="State")
    def state(self, row: ApiKey) -> str:
        if row.revoked_at:
            return "revoked"
        if row.expires_at is None:
            return "usable"
        return "expired" if row.expires_at <= timezone.now() else f"until {row.expires_at:%Y-%m-%d %H:%M} UTC"

    @admin.action(description="Revoke: they end with the next request", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        actor = principal_of(request).actor
        done = sum(keys.revoke_api_key(row, actor) for row in queryset.select_related("tenant"))
        messages.success(request, f"{done} revoked.")


@admin.register(AuditEntry)
class ScopedAuditEntryAdmin(TenantScoped, AuditEntryAdmin):
    tenant_column, tenant_by_slug = "chain", True
    paginator = CappedPaginator
    show_facets = admin.ShowFacets.NEVER
