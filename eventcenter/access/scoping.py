"""The first wall between tenants: querysets narrowed to what a principal may touch."""

from __future__ import annotations

from typing import TypeVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404

from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission

M = TypeVar("M", bound=Model)


def within(
    rows: QuerySet[M], principal: Principal, permission: Permission = Permission.VIEW, column: str = "tenant_id"
) -> QuerySet[M]:
    """The rows of the tenants in which the principal has the permission. `column`: the lookup of the tenant's id."""
    tenants = principal.tenant_ids(permission)
    return rows if tenants is None else rows.filter(**{f"{column}__in": sorted(tenants)})


def require(principal: Principal, permission: Permission, tenant_id: int | None) -> None:
    """Raises Http404 for what the principal may not even see, PermissionDenied for what it may see only."""
    if principal.may(permission, tenant_id):
        return
    if not principal.may(Permission.VIEW, tenant_id):
        raise Http404
    raise PermissionDenied
