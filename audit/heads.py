"""Signed heads, pure: who said that a chain stood at a position with a digest.

The chain alone does not show that its end was cut off, or that all of it was written anew. A head does: it is signed
(Ed25519, RFC 8032) by a key that the database has never seen, and kept where whoever writes the database does not write.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DOMAIN = b"event-center audit head v1\n"  # so that the key's signature of something else is no head
KEY_PURPOSE = b"event-center audit heads ed25519"
PublicKeys = Mapping[str, Ed25519PublicKey]


class HeadError(ValueError):
    """Not a head, or not one that our keys signed. The text says why."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is signed. `at` is aware UTC: when it was signed; `digest` is that of the entry at `position`."""

    chain: str
    position: int
    digest: bytes
    at: datetime
    key_id: str

    def fields(self) -> dict[str, object]:
        at = self.at.isoformat(timespec="microseconds")
        return {
            "chain": self.chain,
            "position": self.position,
            "digest": self.digest.hex(),
            "at": at,
            "key_id": self.key_id,
        }

    def message(self) -> bytes:
        """DOMAIN ‖ JSON of the fields: keys sorted, no spaces, UTF-8; the digest in hex, `at` as in audit.chain."""
        text = json.dumps(self.fields(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return DOMAIN + text.encode()


@dataclass(frozen=True, slots=True)
class Head:
    claim: Claim
    signature: bytes

    def as_json(self) -> dict[str, object]:
        """The fields and the signature in base64: a message of the topic, and a line of an export."""
        return self.claim.fields() | {"signature": base64.b64encode(self.signature).decode()}


def private_key(master: bytes) -> Ed25519PrivateKey:
    """From one of ENCRYPTION_KEYS, by HKDF-SHA256 (RFC 5869): neither key says anything about the other."""
    seed = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=KEY_PURPOSE).derive(master)
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_keys(masters: Sequence[tuple[str, bytes]]) -> dict[str, Ed25519PublicKey]:
    """(key id, master key) pairs → the keys that verify, by id."""
    return {key_id: private_key(master).public_key() for key_id, master in masters}


def sign(chain: str, position: int, digest: bytes, at: datetime, key: tuple[str, bytes]) -> Head:
    claim = Claim(chain, position, digest, at, key[0])
    return Head(claim, private_key(key[1]).sign(claim.message()))


def parse(data: object) -> Head:
    """From what as_json made. Raises HeadError; the signature is not looked at."""
    try:
        assert isinstance(data, dict)
        at, position = datetime.fromisoformat(data["at"]), data["position"]
        claim = Claim(str(data["chain"]), int(position), bytes.fromhex(data["digest"]), at, str(data["key_id"]))
        head = Head(claim, base64.b64decode(data["signature"], validate=True))
    except (AssertionError, KeyError, TypeError, ValueError):
        raise HeadError("is no head: it takes chain, position, digest, at, key_id and signature") from None
    if head.as_json() != data:
        raise HeadError("is no head as it is written by us")
    return head


def verify(head: Head, keys: PublicKeys) -> None:
    """Raises HeadError when none of the keys signed it."""
    key = keys.get(head.claim.key_id)
    if key is None:
        raise HeadError(f"is signed by the key {head.claim.key_id!r}, which is not in ENCRYPTION_KEYS")
    try:
        key.verify(head.signature, head.claim.message())
    except InvalidSignature:
        raise HeadError(f"has a wrong signature of the key {head.claim.key_id!r}") from None
