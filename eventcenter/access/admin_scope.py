"""The admin's pages as each role may use them: rows of one's tenants, and what may be done to each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.db.models import ForeignKey, Model, QuerySet
from django.http import HttpRequest

from eventcenter.access.backend import BY_TENANT
from eventcenter.access.principal import Principal, principal_of
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import within

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = object


class TenantScoped(Base):
    """Put before AuditedAdmin or ReadOnlyAdmin. `tenant_column`: the lookup of a row's tenant id, or with
    `tenant_by_slug` that of its slug. `action_needs`: what an action over ticked rows needs, where that is not the right
    to change them; the action itself says so, too, by its `permissions`."""

    tenant_column: ClassVar[str] = "tenant_id"
    tenant_by_slug: ClassVar[bool] = False
    action_needs: ClassVar[Mapping[str, Permission]] = {}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """An action over ticked rows gets those for which it is allowed: Django asks for its permission as a whole."""
        rows, principal = super().get_queryset(request), principal_of(request)
        for needed in self._needed(request):
            rows = self._within(rows, principal, needed)
        return rows

    def _needed(self, request: HttpRequest) -> Iterator[Permission]:
        to_see, to_change = BY_TENANT[self.opts.label_lower]
        actions = request.POST.getlist("action")
        if not actions or to_change is None:
            yield to_see
        yield from (self.action_needs.get(action, to_change) for action in actions if to_change is not None)

    def _within(self, rows: QuerySet[Any], principal: Principal, needed: Permission) -> QuerySet[Any]:
        if not self.tenant_by_slug:
            return within(rows, principal, needed, self.tenant_column)
        if principal.tenant_ids(needed) is None:
            return rows
        own = within(apps.get_model("subscriptions.Tenant")._default_manager.all(), principal, needed, "id")
        return rows.filter(**{f"{self.tenant_column}__in": list(own.values_list("slug", flat=True))})

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_view_permission(request, obj) and self._may(request, "view", obj)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may(request, "delete", obj)

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """Of tenants, and of what belongs to one, those that the person may administer."""
        model = db_field.related_model
        column = _tenant_column(model)
        if column is not None and "queryset" not in kwargs:
            rows = model._default_manager.all()
            kwargs["queryset"] = within(rows, principal_of(request), Permission.ADMINISTER, column)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def _may(self, request: HttpRequest, verb: str, obj: Model | None) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{verb}_{self.opts.model_name}", obj)


def _tenant_column(model: Any) -> str | None:
    if not isinstance(model, type) or not issubclass(model, Model):
        return None
    if model._meta.label_lower == "subscriptions.tenant":
        return "id"
    return "tenant_id" if any(field.attname == "tenant_id" for field in model._meta.concrete_fields) else None
