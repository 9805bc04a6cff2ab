"""Whose the page is: all that the reader may see, or one tenant of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Model, QuerySet

from delivery.telemetry.remembered import Tenants
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import within
from subscriptions.models import Tenant

M = TypeVar("M", bound=Model)
# Who reads the audit trail: as in eventcenter.access.backend.
CHANGES_NEED = Permission.ADMINISTER


@dataclass(frozen=True, slots=True)
class Scope:
    """`tenants`: whose rows; None: everybody's, and what is the platform's. `slug`: the chosen tenant, or "".

    `names`: all that may be chosen. `chains`: whose changes are told; None: everybody's.
    """

    slug: str
    tenants: Tenants
    names: dict[int, str]
    chains: frozenset[str] | None

    @property
    def is_all(self) -> bool:
        return self.tenants is None


def scope_of(principal: Principal, slug: str) -> Scope:
    """One query. A tenant that the reader may not see is as good as none."""
    rows = within(Tenant.objects.order_by("slug"), principal, column="id")
    names = dict(rows.values_list("pk", "slug"))
    chosen = next((key for key, name in names.items() if slug and name == slug), None)
    tenants = principal.tenant_ids(Permission.VIEW) if chosen is None else frozenset({chosen})
    told = principal.tenant_ids(CHANGES_NEED)
    if chosen is None and told is None:
        return Scope("", tenants, names, None)
    owned = names.keys() if told is None else names.keys() & told
    chains = frozenset(names[key] for key in owned if chosen in (None, key))
    return Scope(names.get(chosen, "") if chosen is not None else "", tenants, names, chains)


def of_tenants(rows: QuerySet[M], tenants: Tenants) -> QuerySet[M]:
    return rows if tenants is None else rows.filter(tenant_id__in=sorted(tenants))
