"""Standard Webhooks 1.0 signatures: we sign by HMAC or ed25519 and verify HMAC. Pure: the caller brings clock and keys."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets as entropy
from collections.abc import Sequence
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
HEADERS = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)

SECRET_PREFIX = "whsec_"  # noqa: S105 - only the prefix
PRIVATE_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"
# The specification's bounds for a symmetric secret, and ours for new ones.
MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64
NEW_SECRET_BYTES = 32

SEED_BYTES = 32  # RFC 8032 §5.1.5: a private key is 32 octets, and so is its public key

# What signs: the bytes of a shared secret (HMAC-SHA256, `v1`) or an ed25519 private key (`v1a`).
SigningKey = bytes | Ed25519PrivateKey

TOLERANCE_S = 300
# A sender rotates among a few secrets; more candidates than this are only work for us.
MAX_SIGNATURES = 16


class SignatureFault(StrEnum):
    MISSING_HEADER = "missing_header"
    BAD_TIMESTAMP = "bad_timestamp"
    STALE = "stale"
    FROM_THE_FUTURE = "from_the_future"
    BAD_SIGNATURE = "bad_signature"


class VerificationError(Exception):
    """A message that is not proven to be from who holds the secret; `fault` says why, the text says it to people."""

    def __init__(self, fault: SignatureFault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


class SecretError(ValueError):
    """Not a Standard Webhooks secret. The text never holds the secret."""


def generate_secret() -> str:
    """A new secret in its written form, `whsec_` and base64."""
    return encode_secret(entropy.token_bytes(NEW_SECRET_BYTES))


def encode_secret(key: bytes) -> str:
    return SECRET_PREFIX + base64.b64encode(key).decode()


def decode_secret(text: str) -> bytes:
    """The key bytes of `whsec_…`; raises SecretError."""
    if not text.startswith(SECRET_PREFIX):
        raise SecretError(f"a secret starts with {SECRET_PREFIX}")
    try:
        key = base64.b64decode(text[len(SECRET_PREFIX) :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise SecretError("the part after the prefix is not base64") from error
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise SecretError(f"a secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, this one {len(key)}")
    return key


def generate_private_key() -> str:
    """A new ed25519 key in its written form, `whsk_` and base64 of the seed and the public key."""
    seed = entropy.token_bytes(SEED_BYTES)
    return PRIVATE_PREFIX + _base64(seed + _public_bytes(Ed25519PrivateKey.from_private_bytes(seed)))


def public_key_of(private: str) -> str:
    """`whpk_…` of a `whsk_…`: what a receiver verifies with. Raises SecretError."""
    return PUBLIC_PREFIX + _base64(_public_bytes(_decode_private(private)))


def decode_signing_key(text: str) -> SigningKey:
    """Of `whsec_…` the bytes, of `whsk_…` the private key; raises SecretError."""
    return _decode_private(text) if text.startswith(PRIVATE_PREFIX) else decode_secret(text)


def _decode_private(text: str) -> Ed25519PrivateKey:
    """The specification says "standard ed25519 key pair" and no more: taken are the 32 bytes of RFC 8032, and those with
    the public key behind them, as libsodium and the specification's authors write it."""
    if not text.startswith(PRIVATE_PREFIX):
        raise SecretError(f"a private key starts with {PRIVATE_PREFIX}")
    try:
        raw = base64.b64decode(text[len(PRIVATE_PREFIX) :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise SecretError("the part after the prefix is not base64") from error
    if len(raw) not in (SEED_BYTES, 2 * SEED_BYTES):
        raise SecretError(f"a private key has {SEED_BYTES} or {2 * SEED_BYTES} bytes, this one {len(raw)}")
    key = Ed25519PrivateKey.from_private_bytes(raw[:SEED_BYTES])
    if raw[SEED_BYTES:] not in (b"", _public_bytes(key)):
        raise SecretError("the public key behind the private one is another's")
    return key


def _public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def another_key(key: SigningKey) -> SigningKey:
    """A new one of the same kind."""
    return entropy.token_bytes(NEW_SECRET_BYTES) if isinstance(key, bytes) else Ed25519PrivateKey.generate()


def sign(keys: Sequence[SigningKey], msg_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` value: one `v1,…` or `v1a,…` for each key, parted by spaces. `timestamp` in epoch seconds."""
    content = b"%b.%d.%b" % (msg_id.encode(), timestamp, body)
    return " ".join([_signature(key, content) for key in keys])


def _signature(key: SigningKey, content: bytes) -> str:
    if isinstance(key, bytes):
        return "v1," + _digest(key, content)
    return "v1a," + _base64(key.sign(content))


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()


def _digest(secret: bytes, content: bytes) -> str:
    return _base64(hmac.digest(secret, content, "sha256"))


def verify(
    secrets: Sequence[bytes],
    msg_id: str | None,
    timestamp: str | None,
    signature: str | None,
    body: bytes,
    *,
    now: float,
    tolerance_s: float = TOLERANCE_S,
) -> None:
    """Raise VerificationError unless one `v1` signature fits one of `secrets` and the timestamp is within the tolerance.

    The three texts are the values of HEADERS as received (None: absent). The cheap checks come first; signatures are
    compared in constant time.
    """
    if not (msg_id and timestamp and signature):
        absent = [name for name, value in zip(HEADERS, (msg_id, timestamp, signature), strict=True) if not value]
        raise VerificationError(SignatureFault.MISSING_HEADER, f"missing {', '.join(absent)}")
    signed_at = _parse_timestamp(timestamp)
    _check_age(signed_at, now, tolerance_s)
    content = b"%b.%b.%b" % (msg_id.encode("utf-8", "surrogateescape"), timestamp.encode(), body)
    if not _any_matches(secrets, content, _candidates(signature)):
        raise VerificationError(SignatureFault.BAD_SIGNATURE, "no signature fits")


def _parse_timestamp(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise VerificationError(SignatureFault.BAD_TIMESTAMP, f"{TIMESTAMP_HEADER} is not a number of seconds")
    return int(text)


def _check_age(signed_at: int, now: float, tolerance_s: float) -> None:
    if signed_at < now - tolerance_s:
        raise VerificationError(SignatureFault.STALE, f"{TIMESTAMP_HEADER} is more than {tolerance_s:g} s old")
    if signed_at > now + tolerance_s:
        raise VerificationError(
            SignatureFault.FROM_THE_FUTURE, f"{TIMESTAMP_HEADER} is more than {tolerance_s:g} s ahead of our clock"
        )


def _candidates(signature: str) -> list[bytes]:
    """The base64 parts of the `v1` signatures; other versions are for others."""
    parts = signature.split(" ", MAX_SIGNATURES)[:MAX_SIGNATURES]
    return [part[3:].encode("utf-8", "surrogateescape") for part in parts if part.startswith("v1,")]


def _any_matches(secrets: Sequence[bytes], content: bytes, candidates: Sequence[bytes]) -> bool:
    matched = False
    for secret in secrets:
        expected = _digest(secret, content).encode()
        for candidate in candidates:
            matched |= hmac.compare_digest(expected, candidate)
    return matched
