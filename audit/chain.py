"""The hash chain, pure: what is hashed and how. Verifiers outside this project can follow it from this page alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime

GENESIS = b"\x00" * 32


@dataclass(frozen=True, slots=True)
class Link:
    """What one entry's digest covers. `at` is aware UTC; `details` is JSON-serialisable."""

    chain: str
    position: int
    at: datetime
    actor: str
    address: str
    action: str
    target: str
    details: dict[str, object]


def digest(previous: bytes, link: Link) -> bytes:
    """SHA-256(previous digest ‖ JSON of the link: keys sorted, no spaces, UTF-8, `at` as ISO 8601 with microseconds)."""
    fields = asdict(link) | {"at": link.at.isoformat(timespec="microseconds")}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(previous + text.encode()).digest()
