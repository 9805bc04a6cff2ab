"""The one answer to "who is asking, and what may they do where", for pages and the API alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest
from rest_framework.request import Request

from audit.trail import Actor
from eventcenter import row_security
from eventcenter.access.models import Membership
from eventcenter.access.roles import PUBLISH_KEY_PERMISSIONS, SUPERUSER_PERMISSIONS, Permission, permissions_of
from eventcenter.authentication import Publisher

Permissions = frozenset[Permission]
NONE: Permissions = frozenset()
# Where a request keeps its principal, once it was asked for.
KEPT_AS = "event_center_principal"


@dataclass(frozen=True, slots=True)
class Principal:
    """A person or a key, with what is granted: in all tenants, and in some.

    `name` is user:NAME or key:ID, as in the audit trail. `user_id` is a person's; of an API key, its creator's (who
    counts as the same person where two are needed). DRF takes it for `request.user`.
    """

    name: str
    address: str = ""
    user_id: int | None = None
    everywhere: Permissions = NONE
    by_tenant: Mapping[int, Permissions] = field(default_factory=dict)
    is_person: bool = True
    is_authenticated: bool = True

    def __str__(self) -> str:
        return self.name

    @property
    def pk(self) -> str:
        return self.name

    @property
    def is_staff(self) -> bool:
        return self.may_anywhere(Permission.VIEW)

    @property
    def is_platform(self) -> bool:
        """Whether something is granted in all tenants: such a one also sees what belongs to none."""
        return bool(self.everywhere)

    @property
    def actor(self) -> Actor:
        return Actor(self.name, self.address, self.user_id if self.is_person else None)

    def may(self, permission: Permission, tenant_id: int | None) -> bool:
        """`tenant_id` None: what belongs to no tenant, or to all."""
        if permission in self.everywhere:
            return True
        return tenant_id is not None and permission in self.by_tenant.get(tenant_id, NONE)

    def may_anywhere(self, permission: Permission) -> bool:
        return permission in self.everywhere or any(permission in granted for granted in self.by_tenant.values())

    def tenant_ids(self, permission: Permission) -> frozenset[int] | None:
        """Where it is granted; None: in all tenants."""
        if permission in self.everywhere:
            return None
        return frozenset(tenant for tenant, granted in self.by_tenant.items() if permission in granted)

    def scope(self) -> row_security.Tenants:
        """The rows that PostgreSQL lets its requests see."""
        return row_security.ALL if self.everywhere else frozenset(self.by_tenant)


NOBODY = Principal("nobody", is_person=False, is_authenticated=False)


def principal_of(request: HttpRequest | Request) -> Principal:
    """Whoever is behind the request; NOBODY without a valid identity. Looked up once a request."""
    if isinstance(request, Request):
        return _of_api(request)
    kept = getattr(request, KEPT_AS, None)
    if kept is None:
        kept = of_user(request.user, _address(request))
        keep(request, kept)
    assert isinstance(kept, Principal)
    return kept


def keep(request: HttpRequest, principal: Principal) -> None:
    """From here on the request is this principal's, and PostgreSQL lets it see that principal's rows."""
    setattr(request, KEPT_AS, principal)
    row_security.narrow(principal.scope())


def of_memberships(
    name: str, address: str, user_id: int, rows: Iterable[tuple[int | None, str]], root: bool
) -> Principal:
    """Pure: from (tenant id or None, role) pairs to grants."""
    roles: dict[int | None, set[str]] = {}
    for tenant_id, role in rows:
        roles.setdefault(tenant_id, set()).add(role)
    everywhere = permissions_of(frozenset(roles.pop(None, set()))) | (SUPERUSER_PERMISSIONS if root else NONE)
    by_tenant = {tenant: permissions_of(frozenset(held)) for tenant, held in roles.items() if tenant is not None}
    return Principal(name, address, user_id, everywhere, by_tenant)


def of_user(user: AbstractBaseUser | AnonymousUser, address: str = "") -> Principal:
    """Reads the person's memberships, whatever the request may see so far."""
    if not user.is_authenticated or not user.is_active:
        return NOBODY
    with row_security.unscoped():
        rows = list(Membership.objects.filter(user_id=user.pk).values_list("tenant_id", "role"))
    root = bool(getattr(user, "is_superuser", False))
    return of_memberships(f"user:{user.get_username()}", address, user.pk, rows, root)


def _of_api(request: Request) -> Principal:
    identity: object = request.user
    match identity:
        case Principal() as principal:
            return principal
        case Publisher() as publisher:
            grants = {publisher.tenant_id: PUBLISH_KEY_PERMISSIONS}
            return Principal(str(publisher), _address(request._request), by_tenant=grants, is_person=False)
    return principal_of(request._request)


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))
