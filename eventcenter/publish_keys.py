"""Making and changing the keys that publishers sign with. The secret is returned once and kept sealed."""

from __future__ import annotations

import secrets

from django.db import transaction

from audit.trail import Actor, record
from eventcenter.crypto import seal, unseal
from eventcenter.models import PublishKey
from eventcenter.standardwebhooks import generate_secret

KEY_ID_PREFIX = "pk_"


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


def open_secret(key: PublishKey) -> str:
    """For the demo only, whose key must print the same on each start."""
    return unseal(bytes(key.sealed_secret), PublishKey.SECRET_PURPOSE)
