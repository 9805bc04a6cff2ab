"""Making and changing the keys that publishers sign with. A secret is returned once and kept sealed."""

from __future__ import annotations

import logging
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit.trail import Actor, record
from eventcenter.crypto import UnsealError, seal, unseal
from eventcenter.key_age import KeyAge
from eventcenter.models import PublishKey
from eventcenter.standardwebhooks import SecretError, decode_secret, generate_secret

logger = logging.getLogger(__name__)

KEY_ID_PREFIX = "pk_"
# The same day that an endpoint's secrets overlap: a pipeline changes over in its own time.
ROTATION_OVERLAP = timedelta(hours=24)


def new_key_id(label: str = "") -> str:
    """`pk_` and 20 random letters; `label` (e.g. "demo_") says in logs what the key is for."""
    return f"{KEY_ID_PREFIX}{label}{secrets.token_hex(10)}"


def seal_new_secret(key: PublishKey) -> str:
    """Give an unsaved key its id, unless it has one, and a new secret; returns the secret."""
    secret = generate_secret()
    key.key_id = key.key_id or new_key_id()
    key.sealed_secret = seal(secret, PublishKey.SECRET_PURPOSE)
    return secret


def create_publish_key(tenant_id: int, name: str, actor: Actor, label: str = "") -> tuple[PublishKey, str]:
    """The stored key and its secret."""
    key = PublishKey(tenant_id=tenant_id, name=name, key_id=new_key_id(label))
    secret = seal_new_secret(key)
    with transaction.atomic():
        key.save()
        record(key.tenant.slug, actor, "publish_key.created", f"publish_key:{key.key_id}", {"name": name})
    return key, secret


def rotate_publish_key(key: PublishKey, actor: Actor, overlap: timedelta = ROTATION_OVERLAP) -> str:
    """A new secret under the same key id; the one before it is good for `overlap`. Returns the new one.

    There is one before: whatever still overlapped from an earlier rotation ends now.
    """
    secret, now = generate_secret(), timezone.now()
    sealed = seal(secret, PublishKey.SECRET_PURPOSE)
    with transaction.atomic():
        stored = PublishKey.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=key.pk)
        stored.sealed_previous_secret, stored.previous_expires_at = stored.sealed_secret, now + overlap
        stored.sealed_secret, stored.secret_created_at, stored.reminded_days = sealed, now, None
        stored.save(update_fields=[*_SECRET_FIELDS, "reminded_days"])
        details: dict[str, object] = {"previous_until": stored.previous_expires_at.isoformat()}
        record(stored.tenant.slug, actor, "publish_key.rotated", f"publish_key:{stored.key_id}", details)
    for name in _SECRET_FIELDS:
        setattr(key, name, getattr(stored, name))
    return secret


_SECRET_FIELDS = ("sealed_secret", "secret_created_at", "sealed_previous_secret", "previous_expires_at")


def verifying_secrets(key: PublishKey, now: datetime) -> list[bytes]:
    """What a signature of the key is checked with: its secret and, while it is rotated, the one before.

    Raises UnsealError when none of them can be opened.
    """
    sealed = [bytes(key.sealed_secret)]
    if key.sealed_previous_secret and key.previous_expires_at and key.previous_expires_at > now:
        sealed.append(bytes(key.sealed_previous_secret))
    opened: list[bytes] = []
    for value in sealed:
        try:
            opened.append(decode_secret(unseal(value, PublishKey.SECRET_PURPOSE)))
        except (UnsealError, SecretError) as error:
            logger.error("publish_key.unreadable", extra={"key_id": key.key_id, "why": str(error)})
    if not opened:
        raise UnsealError(f"No secret of {key.key_id} can be opened.")
    return opened


def age_of(key: PublishKey) -> KeyAge:
    return KeyAge(key.secret_created_at, settings.SIGNING_KEY_ROTATE_DAYS)


def open_secret(key: PublishKey) -> str:
    """For the demo only, whose key must print the same on each start."""
    return unseal(bytes(key.sealed_secret), PublishKey.SECRET_PURPOSE)
