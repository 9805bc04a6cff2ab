from __future__ import annotations

import pytest

from eventcenter.access.backend import BY_TENANT, allowed
from eventcenter.access.principal import Principal, of_memberships
from eventcenter.access.roles import Role


def person(*rows: tuple[int | None, Role]) -> Principal:
    return of_memberships("user:eva", "", 1, list(rows), root=False)


@pytest.mark.parametrize(
    ("role", "label", "verbs"),
    [
        (Role.VIEWER, "subscriptions.endpoint", {"view"}),
        (Role.OPERATOR, "subscriptions.endpoint", {"view"}),
        (Role.OPERATOR, "delivery.breaker", {"view", "add", "change"}),
        (Role.TENANT_ADMIN, "subscriptions.endpoint", {"view", "add", "change"}),
        (Role.TENANT_ADMIN, "eventcenter.membership", {"view", "add", "change", "delete"}),
        (Role.TENANT_ADMIN, "subscriptions.tenant", {"view"}),
        (Role.TENANT_ADMIN, "eventcenter.featureflag", set()),
        (Role.TENANT_ADMIN, "auth.user", set()),
        (Role.VIEWER, "eventcenter.apikey", set()),
        (Role.VIEWER, "audit.auditentry", set()),
        (Role.APPROVER, "subscriptions.subscription", {"view"}),
    ],
)
def test_role_has_these_permissions_in_its_tenant(role: Role, label: str, verbs: set[str]) -> None:
    who = person((1, role))
    assert {verb for verb in ("view", "add", "change", "delete") if allowed(who, verb, label, None)} == verbs


def test_platform_admin_makes_tenants_and_sets_flags() -> None:
    who = person((None, Role.TENANT_ADMIN))
    assert allowed(who, "add", "subscriptions.tenant", None)
    assert allowed(who, "change", "eventcenter.featureflag", None)
    assert not allowed(who, "change", "auth.user", None)
    assert not allowed(who, "delete", "subscriptions.endpoint", None)


@pytest.mark.parametrize("label", sorted(BY_TENANT))
def test_nothing_is_allowed_to_one_without_a_role(label: str) -> None:
    assert not any(allowed(person(), verb, label, None) for verb in ("view", "add", "change", "delete"))
