"""The trail's SQL: what goes through functions of the database, so that a role without rights on the table can append."""

from __future__ import annotations

import json

from django.db import connection

from audit.chain import Link

# Index: unique (chain, position), backwards. Holds the chain's lock to the end of the transaction.
LAST = "SELECT last_position, last_digest FROM audit_chain_last(%s)"
APPEND = "SELECT audit_append(%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s)"


def lock_chain(chain: str) -> tuple[int, bytes]:
    """The chain's last position and digest: 0 and 32 zero bytes when it is empty."""
    with connection.cursor() as cursor:
        cursor.execute(LAST, [chain])
        position, digest = cursor.fetchone()
    return position, bytes(digest)


def append(link: Link, actor_user_id: int | None, previous: bytes, digest: bytes) -> int:
    """Returns the row's id. IntegrityError when the link does not follow the chain's last one."""
    who = [link.actor, actor_user_id, link.address]
    what = [link.action, link.target, json.dumps(link.details)]
    with connection.cursor() as cursor:
        cursor.execute(APPEND, [link.chain, link.position, link.at, *who, *what, previous, digest])
        return int(cursor.fetchone()[0])
