"""UUIDv7 (RFC 9562): time-ordered ids: a time window is an id range, a day of rows a partition. Pure but for `new_id`."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import uuid_utils.compat

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_VERSION_AND_VARIANT_MASK = ~((0xF << 76) | (0x3 << 62))
_VERSION_7_AND_VARIANT = (0x7 << 76) | (0x2 << 62)
_LOW_80_BITS = (1 << 80) - 1


def new_id() -> UUID:
    """A fresh UUIDv7 of now."""
    return uuid_utils.compat.uuid7()


def id_floor(at: datetime) -> UUID:
    """The smallest id of that millisecond: a bound for `id >= …` and `id < …`."""
    return UUID(int=(at - _EPOCH) // _MILLISECOND << 80)


def id_time(value: UUID) -> datetime:
    """The millisecond in which a UUIDv7 was made, UTC. Raises OverflowError where a calendar ends (year 9999)."""
    return _EPOCH + (value.int >> 80) * _MILLISECOND


def derived_id(parent: UUID, child: int) -> UUID:
    """The one id that belongs to (parent, child): the parent's millisecond, then a hash of both.

    The same pair always gives the same id, so a primary key on it makes a double plan impossible; the shared prefix puts
    it into the parent's day.
    """
    hashed = hashlib.blake2b(parent.bytes + child.to_bytes(8, "big", signed=True), digest_size=10).digest()
    low = int.from_bytes(hashed, "big") & _VERSION_AND_VARIANT_MASK & _LOW_80_BITS
    return UUID(int=(parent.int >> 80 << 80) | low | _VERSION_7_AND_VARIANT)
