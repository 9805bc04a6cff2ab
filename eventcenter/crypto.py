"""Secrets at rest: AES-256-GCM under a named key. The first of ENCRYPTION_KEYS encrypts; each of them decrypts."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

NONCE_BYTES = 12  # NIST SP 800-38D's recommended length


class UnsealError(Exception):
    """A sealed value names a key that is not configured, or was changed."""


def seal(text: str, purpose: str) -> bytes:
    """`purpose` (e.g. "endpoint-secret") is authenticated with it: a value moved to another column does not open."""
    key_id, key = settings.ENCRYPTION_KEYS[0]
    nonce = os.urandom(NONCE_BYTES)
    return key_id.encode() + b":" + nonce + AESGCM(key).encrypt(nonce, text.encode(), purpose.encode())


def unseal(sealed: bytes, purpose: str) -> str:
    """Raises UnsealError. The message names the key's id and never the value."""
    key_id, _, rest = bytes(sealed).partition(b":")
    name = key_id.decode("utf-8", "replace")
    key = dict(settings.ENCRYPTION_KEYS).get(name)
    if key is None:
        raise UnsealError(f"The encryption key {name!r} is not in ENCRYPTION_KEYS.")
    try:
        return AESGCM(key).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], purpose.encode()).decode()
    except (InvalidTag, ValueError):  # ValueError: cut off within the nonce
        raise UnsealError(
            f"A value sealed for {purpose} does not open: it was changed, or belongs elsewhere."
        ) from None
