"""Standard Webhooks 1.0 signatures, both ways. Pure: the caller brings the clock and the secrets."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets as entropy
from collections.abc import Sequence
from enum import StrEnum

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
HEADERS = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)

SECRET_PREFIX = "whsec_"  # noqa: S105 - only the prefix
# The specification's bounds for a symmetric secret, and ours for new ones.
MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64
NEW_SECRET_BYTES = 32

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


def sign(secrets: Sequence[bytes], msg_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` value: one `v1,…` for each secret, parted by spaces. `timestamp` in epoch seconds."""
    content = b"%b.%d.%b" % (msg_id.encode(), timestamp, body)
    return " ".join(["v1," + _digest(secret, content) for secret in secrets])


def _digest(secret: bytes, content: bytes) -> str:
    return binascii.b2a_base64(hmac.digest(secret, content, "sha256"), newline=False).decode()


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
