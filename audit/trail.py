"""The one writer of the audit trail."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import connection, transaction
from django.utils import timezone

from audit.chain import GENESIS, Link, digest
from audit.models import AuditEntry

PLATFORM_CHAIN = "platform"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it and from where. `name` is user:NAME, key:ID or system:PROCESS."""

    name: str
    address: str = ""
    user_id: int | None = None

    @classmethod
    def of_user(cls, user: AbstractBaseUser | AnonymousUser, address: str = "") -> Actor:
        return cls(f"user:{user.get_username()}", address, user.pk)


def record(chain: str, actor: Actor, action: str, target: str, details: dict[str, object] | None = None) -> AuditEntry:
    """Append one entry to the chain. Joins the caller's transaction, so that a change and its entry commit together.

    Writers of one chain wait for each other (an advisory lock held to the end of the transaction): positions have no gaps.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('audit.chain'), hashtext(%s))", [chain])
        last = AuditEntry.objects.filter(chain=chain).order_by("-position").first()
        link = Link(
            chain=chain,
            position=last.position + 1 if last else 1,
            at=timezone.now(),
            actor=actor.name,
            address=actor.address,
            action=action,
            target=target,
            details=details or {},
        )
        previous = bytes(last.digest) if last else GENESIS
        return AuditEntry.objects.create(
            chain=link.chain,
            position=link.position,
            at=link.at,
            actor=link.actor,
            actor_user_id=actor.user_id,
            address=link.address,
            action=link.action,
            target=link.target,
            details=link.details,
            previous=previous,
            digest=digest(previous, link),
        )
