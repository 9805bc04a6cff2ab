"""Secrets at rest: envelope encryption (docs/adr/0014). A value is sealed with a data key, which is kept wrapped by a master
key.

A sealed value is `:<data key id>:` and then nonce and ciphertext. One that begins with a name instead of the colon is of the
time before data keys: sealed by the master key of that name. It opens as long as that key is in ENCRYPTION_KEYS;
`manage.py rotate_encryption_key` seals it anew.
"""

from __future__ import annotations

from django.conf import settings

from eventcenter import data_keys
from eventcenter.cipher import BoxError, UnsealError, decrypt, encrypt

__all__ = ["UnsealError", "master_of", "seal", "sealed_by", "unseal"]


def seal(text: str, purpose: str) -> bytes:
    """`purpose` (e.g. "endpoint-secret") is authenticated with it: a value moved to another column does not open.

    Raises UnsealError when the data key in use cannot be opened: its master key is not in ENCRYPTION_KEYS.
    """
    key_id, key = data_keys.current()
    return b":%b:%b" % (key_id.encode(), encrypt(key, text.encode(), purpose.encode()))


def unseal(sealed: bytes, purpose: str) -> str:
    """Raises UnsealError. The message names the key's id and never the value."""
    key, box = _key_and_box(bytes(sealed))
    try:
        return decrypt(key, box, purpose.encode()).decode()
    except (BoxError, UnicodeDecodeError):
        raise UnsealError(
            f"A value sealed for {purpose} does not open: it was changed, or belongs elsewhere."
        ) from None


def sealed_by(sealed: bytes) -> str:
    """The data key's id; "" of a value that a master key sealed."""
    raw = bytes(sealed)
    return raw[1:].partition(b":")[0].decode("utf-8", "replace") if raw.startswith(b":") else ""


def master_of(sealed: bytes) -> str:
    """The master key's id; "" of a value that a data key sealed."""
    return bytes(sealed).partition(b":")[0].decode("utf-8", "replace")


def _key_and_box(raw: bytes) -> tuple[bytes, bytes]:
    if raw.startswith(b":"):
        key_id, _, box = raw[1:].partition(b":")
        return data_keys.key_of(key_id.decode("utf-8", "replace")), box
    name, _, box = raw.partition(b":")
    master = dict(settings.ENCRYPTION_KEYS).get(name.decode("utf-8", "replace"))
    if master is None:
        raise UnsealError(f"The encryption key {name.decode('utf-8', 'replace')!r} is not in ENCRYPTION_KEYS.")
    return master, box
