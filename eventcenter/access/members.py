"""Granting and taking away roles, each with its entry in the trail of the tenant (or the platform)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from audit.trail import PLATFORM_CHAIN, Actor, record
from eventcenter.access.models import Membership
from eventcenter.access.roles import Role


def grant(user: AbstractBaseUser, tenant_id: int | None, role: Role, actor: Actor) -> bool:
    """False when it was held already. `tenant_id` None: a platform role."""
    with transaction.atomic():
        key: dict[str, Any] = {"user_id": user.pk, "tenant_id": tenant_id, "role": role}
        row, made = Membership.objects.get_or_create(**key, defaults={"granted_by": actor.name})
        if made:
            _record(row, actor, "member.role_granted")
    return made


def revoke(membership: Membership, actor: Actor) -> bool:
    """False when it was gone already."""
    with transaction.atomic():
        deleted, _ = Membership.objects.filter(pk=membership.pk).delete()
        if deleted:
            _record(membership, actor, "member.role_revoked")
    return bool(deleted)


def chain_of(membership: Membership) -> str:
    return membership.tenant.slug if membership.tenant else PLATFORM_CHAIN


def _record(row: Membership, actor: Actor, action: str) -> None:
    details: dict[str, object] = {"user": row.user.get_username(), "role": row.role}
    record(chain_of(row), actor, action, f"user:{row.user_id}", details)
