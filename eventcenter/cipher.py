"""AES-256-GCM over one text or key: what sealing and wrapping share. Pure, but for the random nonce."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32  # AES-256
NONCE_BYTES = 12  # NIST SP 800-38D's recommended length


class UnsealError(Exception):
    """A sealed value names a key that is not there, or was changed. The text names key ids and never a value."""


class BoxError(ValueError):
    """Not encrypted by this key for this purpose, or changed since."""


def encrypt(key: bytes, plain: bytes, about: bytes) -> bytes:
    """nonce and ciphertext. `about` is authenticated with it: for another purpose it does not open."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, about)


def decrypt(key: bytes, box: bytes, about: bytes) -> bytes:
    """Raises BoxError."""
    try:
        return AESGCM(key).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], about)
    except (InvalidTag, ValueError):  # ValueError: cut off within the nonce
        raise BoxError from None
