"""Django's own pages for users, groups and passwords, with the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import Group, User
from django.contrib.auth.views import PasswordChangeView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy

from audit.audited_admin import AuditedAdmin, actor_of
from audit.trail import PLATFORM_CHAIN, record

if TYPE_CHECKING:
    DjangosUserAdmin = UserAdmin[User]
else:
    DjangosUserAdmin = UserAdmin

PASSWORD_SET = "user.password_set"  # noqa: S105 - the name of an action


class AccountAdmin(AuditedAdmin[User], DjangosUserAdmin):
    """Nobody is deleted: a person who left is made inactive, and the trail goes on naming somebody."""

    noun = "user"
    audit_values = ("username", "is_active", "is_staff", "is_superuser", "groups", "user_permissions")

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """The page has no hook of its own: whether it set a password shows in the row."""
        with transaction.atomic():
            before = _password_of(id)
            response: HttpResponse = super().user_change_password(request, id, form_url)
            if _password_of(id) != before:
                record(PLATFORM_CHAIN, actor_of(request), PASSWORD_SET, f"user:{id}")
        return response


class TeamAdmin(AuditedAdmin[Group], GroupAdmin):
    noun = "group"
    audit_values = ("name", "permissions")


class OwnPasswordView(PasswordChangeView):
    """A person's own password. Goes before the admin's page of that address."""

    success_url = reverse_lazy("admin:password_change_done")
    template_name = "registration/password_change_form.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | admin.site.each_context(self.request)

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            record(PLATFORM_CHAIN, actor_of(self.request), PASSWORD_SET, f"user:{form.user.pk}")
        return response


def _password_of(user_id: str) -> str | None:
    return User.objects.filter(pk=user_id).values_list("password", flat=True).first() if user_id.isdecimal() else None
