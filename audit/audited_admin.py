"""A base for admin pages whose changes go to the audit trail, in the transaction of the change."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest

from audit.form_changes import changes_of
from audit.trail import PLATFORM_CHAIN, Actor, record

M = TypeVar("M", bound=Model)

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin
else:

    class ModelAdmin(Generic[M], admin.ModelAdmin):
        """Django's is generic for type checkers only."""


# Django's admin calls save_model inside its own transaction.atomic(): entry and change commit together.


def actor_of(request: HttpRequest) -> Actor:
    return Actor.of_user(request.user, request.META.get("REMOTE_ADDR", ""))


class AuditedAdmin(ModelAdmin[M]):
    """Subclasses set `noun` and say whose chain an object belongs to.

    Before and after stand in the entry for `audit_values` alone: of other changed fields the entry has the names only,
    since a URL or a header may hold a token. Nothing is deleted here, so that old deliveries keep their names.
    """

    noun: str
    audit_values: tuple[str, ...] = ()

    def audit_chain(self, obj: M) -> str:
        return PLATFORM_CHAIN

    def audit_target(self, obj: M) -> str:
        return f"{self.noun}:{obj.pk}"

    def get_fieldsets(self, request: HttpRequest, obj: M | None = None) -> Any:
        """Of a new row what the database will fill in is not known, and not shown."""
        sets = super().get_fieldsets(request, obj)
        return (
            sets if obj else [(title, options | {"fields": self._known(options["fields"])}) for title, options in sets]
        )

    def _known(self, names: Any) -> list[Any]:
        later = {field.name for field in self.opts.fields if field.has_db_default()}
        return [name for name in names if name not in later]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> M | None:
        """Locked while a form of it is judged and saved, in the view's transaction: the whole row is written, and what
        somebody else changed meanwhile would be set back."""
        if request.method == "POST" and connection.in_atomic_block:
            with suppress(ValueError, ValidationError):  # no key at all: Django's own answer follows
                key = self.model._meta.pk.to_python(object_id)
                list(self.model._base_manager.order_by().select_for_update().filter(pk=key).values_list("pk"))
        return super().get_object(request, object_id, from_field)

    def save_model(self, request: HttpRequest, obj: M, form: ModelForm[M], change: bool) -> None:
        super().save_model(request, obj, form, change)
        details = changes_of(form, self.audit_values, is_new=not change)
        if not change or details["fields"]:
            action = f"{self.noun}.{'changed' if change else 'created'}"
            record(self.audit_chain(obj), actor_of(request), action, self.audit_target(obj), details)

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


class ReadOnlyAdmin(ModelAdmin[M]):
    """For logs and what other parts own."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False
