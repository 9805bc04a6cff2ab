"""The one writer of the audit trail."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import connection, transaction
from django.utils import timezone

from audit import store
from audit.chain import Link, digest
from audit.details import check_text, checked
from audit.models import AuditEntry

PLATFORM_CHAIN = "platform"
LONGEST = {"chain": 63, "actor": 200, "address": 64, "action": 100, "target": 200}  # the columns' lengths


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
    The connection's role needs no right on the table, see migration 0003. Raises NotRecordable for what the stored row
    would not give back as it was.
    """
    texts = {"chain": chain, "actor": actor.name, "address": actor.address, "action": action, "target": target}
    for name, text in texts.items():
        check_text(name, text, LONGEST[name])
    kept = checked(details or {})
    with transaction.atomic():
        position, previous = store.lock_chain(chain)
        link = Link(position=position + 1, at=timezone.now(), details=kept, **texts)
        own = digest(previous, link)
        entry_id = store.append(link, actor.user_id, previous, own)
    entry = AuditEntry(id=entry_id, actor_user_id=actor.user_id, previous=previous, digest=own, **_fields(link))
    entry._state.adding, entry._state.db = False, connection.alias
    return entry


def _fields(link: Link) -> dict[str, Any]:
    return {field.name: getattr(link, field.name) for field in fields(link)}
