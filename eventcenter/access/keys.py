"""API keys: made, looked up, revoked. The text is `ak_<20 hex>.<secret>`; only the secret's SHA-256 is kept.

A fast digest is enough: the secret is 256 random bits, which nobody finds by trying (unlike a password).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from audit.trail import Actor, record
from eventcenter.access.models import ApiKey
from eventcenter.access.roles import KEY_SCOPES
from eventcenter.row_security import unscoped

KEY_ID_PREFIX = "ak_"
SECRET_BYTES = 32
USED_NOTED_EVERY_S = 60
NAME_LENGTH_MOST = 100


class ApiKeyError(ValueError):
    """A field of a new key is wrong. `field` names it; the message says what it takes."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """`text` is what the program sends as `Authorization: Bearer <text>`; it can never be read again."""

    key: ApiKey
    text: str


def create_api_key(
    tenant_id: int,
    name: str,
    scopes: Collection[str],
    actor: Actor,
    expires_at: datetime | None = None,
    created_by_id: int | None = None,
) -> NewApiKey:
    """`created_by_id`: the person behind the actor, where that is a key. Raises ApiKeyError."""
    _check(name, scopes, expires_at)
    key_id, secret = f"{KEY_ID_PREFIX}{secrets.token_hex(10)}", secrets.token_urlsafe(SECRET_BYTES)
    key = ApiKey(
        key_id=key_id,
        tenant_id=tenant_id,
        name=name,
        digest=_digest(secret),
        scopes=sorted(set(scopes)),
        created_by_id=created_by_id or actor.user_id,
        expires_at=expires_at,
    )
    with transaction.atomic():
        key.save()
        ends = expires_at.isoformat() if expires_at else None
        details: dict[str, object] = {"name": name, "scopes": key.scopes, "expires_at": ends}
        record(key.tenant.slug, actor, "api_key.created", f"api_key:{key_id}", details)
    return NewApiKey(key, f"{key_id}.{secret}")


def revoke_api_key(key: ApiKey, actor: Actor) -> bool:
    """False when it was revoked already. It ends with the next request."""
    with transaction.atomic():
        revoked = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
        if revoked:
            record(key.tenant.slug, actor, "api_key.revoked", f"api_key:{key.key_id}")
    return bool(revoked)


def find(text: str, now: datetime) -> ApiKey | None:
    """The usable key that this text is of. The same time is spent whether the id or the secret is wrong."""
    key_id, _, secret = text.partition(".")
    with unscoped():
        known = ApiKey.objects.usable(now).filter(key_id=key_id, tenant__active=True).select_related("tenant")
        key = known.first() if key_id.isascii() and key_id.isprintable() else None
        expected = bytes(key.digest) if key else b"\0" * hashlib.sha256().digest_size
        if not hmac.compare_digest(_digest(secret), expected) or key is None:
            return None
        if key.last_used_at is None or (now - key.last_used_at).total_seconds() > USED_NOTED_EVERY_S:
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
        return key


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _check(name: str, scopes: Collection[str], expires_at: datetime | None) -> None:
    if not name or len(name) > NAME_LENGTH_MOST or not name.isprintable():
        raise ApiKeyError("name", f"takes 1 to {NAME_LENGTH_MOST} printable characters")
    takes = ", ".join(KEY_SCOPES)
    if not scopes:
        raise ApiKeyError("scopes", f"takes at least one of: {takes}")
    for scope in scopes:
        if scope not in KEY_SCOPES:
            raise ApiKeyError("scopes", f"{scope!r} is no scope of a key; takes: {takes}")
    if expires_at is not None and expires_at <= timezone.now():
        raise ApiKeyError("expires_at", "takes a time in the future")
