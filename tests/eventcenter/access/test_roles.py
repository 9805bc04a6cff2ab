from __future__ import annotations

import pytest

from eventcenter.access.principal import of_memberships
from eventcenter.access.roles import KEY_SCOPES, Permission, Role, permissions_of

ALL = frozenset(Permission)


@pytest.mark.parametrize(
    ("roles", "granted"),
    [
        ([], set()),
        (["viewer"], {"view"}),
        (["operator"], {"view", "replay", "operate"}),
        (["approver"], {"view", "approve"}),
        (["tenant_admin"], {"publish", "view", "replay", "operate", "administer"}),
        (["operator", "approver"], {"view", "replay", "operate", "approve"}),
        (["owner"], set()),
    ],
)
def test_roles_grant_what_the_table_says(roles: list[str], granted: set[str]) -> None:
    assert permissions_of(frozenset(roles)) == granted


def test_no_key_can_approve() -> None:
    assert set(KEY_SCOPES) == ALL - {Permission.APPROVE}


def test_superuser_may_do_all_but_approve_when_not_named_an_approver() -> None:
    root = of_memberships("user:root", "", 1, [], root=True)
    assert {permission for permission in ALL if root.may(permission, 5)} == ALL - {Permission.APPROVE}
    named = of_memberships("user:root", "", 1, [(None, Role.APPROVER)], root=True)
    assert named.may(Permission.APPROVE, 5)


def test_a_tenants_role_holds_in_that_tenant_alone() -> None:
    person = of_memberships("user:eva", "", 1, [(1, Role.OPERATOR), (2, Role.VIEWER)], root=False)
    assert person.may(Permission.REPLAY, 1)
    assert not person.may(Permission.REPLAY, 2)
    assert not person.may(Permission.VIEW, 3)
    assert not person.may(Permission.VIEW, None)
    assert person.tenant_ids(Permission.VIEW) == {1, 2}
    assert person.tenant_ids(Permission.REPLAY) == {1}
    assert person.scope() == {1, 2}
    assert not person.is_platform


def test_a_platform_role_holds_in_every_tenant() -> None:
    person = of_memberships("user:ops", "", 1, [(None, Role.VIEWER), (4, Role.OPERATOR)], root=False)
    assert person.may(Permission.VIEW, 3)
    assert person.may(Permission.VIEW, None)
    assert person.may(Permission.OPERATE, 4)
    assert not person.may(Permission.OPERATE, 3)
    assert person.tenant_ids(Permission.VIEW) is None
    assert person.is_platform
