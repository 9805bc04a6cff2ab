"""Which deliveries stand in one line: those of one subscription whose events have one partition key. Pure."""

from __future__ import annotations

import hashlib
from uuid import UUID


def order_key(subscription_id: int, partition_key: str) -> UUID:
    """16 bytes of BLAKE2b over both, NUL between; `partition_key` is eventcenter.envelope's, with the tenant in it."""
    text = f"{subscription_id}\0{partition_key}".encode()
    return UUID(bytes=hashlib.blake2b(text, digest_size=16).digest())
