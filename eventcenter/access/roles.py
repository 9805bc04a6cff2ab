"""Permissions, and the roles and scopes that grant them. Pure."""

from __future__ import annotations

from enum import StrEnum

from django.db.models import TextChoices


class Permission(StrEnum):
    """What somebody may do with what belongs to a tenant. An API key's scopes are these values."""

    PUBLISH = "publish"  # send events
    VIEW = "view"  # events, deliveries, attempts, endpoints, alerts; never a secret
    REPLAY = "replay"  # send ended deliveries again
    OPERATE = "operate"  # pause, resume, test, breakers, cancel, work orders
    APPROVE = "approve"  # be the second person
    ADMINISTER = "administer"  # endpoints, subscriptions, secrets, keys, members, flags


class Role(TextChoices):
    """A person's part in one tenant, or in all of them. Several may be held at once."""

    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    APPROVER = "approver", "Approver"
    TENANT_ADMIN = "tenant_admin", "Tenant admin"


# Nobody approves by another role, the superuser included: who approves was named for it.
ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.VIEW}),
    Role.OPERATOR: frozenset({Permission.VIEW, Permission.REPLAY, Permission.OPERATE}),
    Role.APPROVER: frozenset({Permission.VIEW, Permission.APPROVE}),
    Role.TENANT_ADMIN: frozenset(
        {Permission.PUBLISH, Permission.VIEW, Permission.REPLAY, Permission.OPERATE, Permission.ADMINISTER}
    ),
}
SUPERUSER_PERMISSIONS = ROLE_PERMISSIONS[Role.TENANT_ADMIN]

# A key is no person: it cannot be the second one.
KEY_SCOPES = tuple(permission for permission in Permission if permission is not Permission.APPROVE)
# A release pipeline sends events and may send them again (the scenario's "publish (replay)"); it reads nothing else.
PUBLISH_KEY_PERMISSIONS = frozenset({Permission.PUBLISH, Permission.REPLAY})


def permissions_of(roles: frozenset[str]) -> frozenset[Permission]:
    """All that these roles grant together. Unknown names grant nothing."""
    known = (Role(role) for role in roles if role in Role.values)
    return frozenset().union(*(ROLE_PERMISSIONS[role] for role in known))
