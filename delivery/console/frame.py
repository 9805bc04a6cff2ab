"""What the frame of every page shows of its reader. Asks the database for nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from delivery.console import chosen_tenant
from eventcenter.access.principal import Permissions, Principal, principal_of
from eventcenter.access.roles import ROLE_PERMISSIONS, Permission, Role


@dataclass(frozen=True, slots=True)
class Frame:
    """`tenant`: the chosen one's slug, "" for all. `roles`: each in words, with where it is held."""

    home_url: str
    tenant: str
    sees_several: bool
    roles: list[str]
    has_password: bool


def frame_of(request: HttpRequest) -> Frame | None:
    """None where nobody is signed in."""
    if not hasattr(request, "user") or not request.user.is_authenticated:
        return None
    principal, tenant = principal_of(request), chosen_tenant.chosen(request)
    home = reverse("home") + (f"?{urlencode({'tenant': tenant})}" if tenant else "")
    # The page of one's own password is the admin's, and lets in whom the admin lets in.
    has_password = request.user.is_staff and request.user.has_usable_password()
    return Frame(home, tenant, sees_several(principal), role_words(principal), has_password)


def sees_several(principal: Principal) -> bool:
    tenants = principal.tenant_ids(Permission.VIEW)
    return tenants is None or len(tenants) > 1


def role_words(principal: Principal) -> list[str]:
    """["Operator, Approver in all tenants", "Viewer in 2 tenants"]: by what is granted, the widest roles alone."""
    words = [f"{_named(principal.everywhere)} in all tenants"] if principal.everywhere else []
    held = Counter(_named(granted) for granted in principal.by_tenant.values() if granted)
    return words + [f"{names} in {count} tenant{'' if count == 1 else 's'}" for names, count in sorted(held.items())]


def _named(granted: Permissions) -> str:
    held = [role for role in Role if ROLE_PERMISSIONS[role] <= granted]
    widest = [role for role in held if not any(ROLE_PERMISSIONS[role] < ROLE_PERMISSIONS[other] for other in held)]
    return ", ".join(str(role.label) for role in widest)
