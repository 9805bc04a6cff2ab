"""What a deliveries list is asked for, and by which ordered source its rows are found. Pure.

A source gives rows newest first by an index, whatever else is asked; the rest is asked of each row of a bounded window.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from uuid import UUID

from delivery.states import OPEN_STATUSES, DeliveryStatus
from eventcenter.ids import id_floor
from eventcenter.search import Sought

BRANCHES_MOST = 8  # index walks that are merged; each is planned for every day's partition
LAST_ID = UUID(int=(1 << 128) - 1)
NO_CODE = "none"
_CODE = re.compile(r"[1-5]\d\d")
_CODE_CLASS = re.compile(r"([1-5])xx")
_MILLISECOND_IDS = 1 << 80


@dataclass(frozen=True, slots=True)
class Codes:
    """Response codes from `low` to `high`; with neither, rows that no receiver has answered yet."""

    low: int | None = None
    high: int | None = None


def codes_of(text: str) -> Codes:
    """ "503", "4xx", "none". Raises ValueError."""
    if text == NO_CODE:
        return Codes()
    if _CODE.fullmatch(text):
        return Codes(int(text), int(text))
    if match := _CODE_CLASS.fullmatch(text.lower()):
        return Codes(int(match[1]) * 100, int(match[1]) * 100 + 99)
    raise ValueError("takes a code such as 503, a class such as 5xx, or none")


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that is given must hold; a delivery has any one of `statuses`. `tenant_ids` None: all tenants.

    `subscription_ids` narrow the look: with `endpoint_id`, what the endpoint has and had.
    """

    tenant_ids: frozenset[int] | None = None
    endpoint_id: int | None = None
    subscription_ids: tuple[int, ...] = ()
    statuses: tuple[str, ...] = ()
    type: str = ""
    tag: str = ""
    codes: Codes | None = None
    error: str = ""
    since: datetime | None = None
    until: datetime | None = None
    sought: Sought = field(default_factory=Sought)

    @property
    def asks_event(self) -> bool:
        return bool(self.type or self.tag)


class Part(Enum):
    """A set of deliveries that an ordered index holds."""

    ALL = "all"  # primary key, or (tenant, id)
    DEAD = "dead"
    CANCELLED = "cancelled"
    OPEN = "open"  # waits for a time or for its turn; what is on its way to a worker is in the dispatches


@dataclass(frozen=True, slots=True)
class Branch:
    """One walk: a part, of one tenant and one subscription where they are given."""

    part: Part
    tenant_id: int | None = None
    subscription_id: int | None = None


_PART_OF = {
    DeliveryStatus.DEAD.value: Part.DEAD,
    DeliveryStatus.CANCELLED.value: Part.CANCELLED,
    **{status.value: Part.OPEN for status in OPEN_STATUSES},
}


def parts_of(statuses: tuple[str, ...]) -> tuple[Part, ...]:
    """The narrowest parts that together hold all of these states; what is delivered is nearly everything."""
    if not statuses or DeliveryStatus.DELIVERED.value in statuses:
        return (Part.ALL,)
    return tuple(dict.fromkeys(_PART_OF[status] for status in statuses))


def branches_of(wanted: Wanted, parts: tuple[Part, ...]) -> tuple[Branch, ...]:
    """A walk for each part and each tenant or subscription; where these are many, fewer and wider ones."""
    tenants: tuple[int | None, ...] = tuple(sorted(wanted.tenant_ids)) if wanted.tenant_ids is not None else (None,)
    narrow = parts == (Part.ALL,) and len(tenants) == 1 and tenants[0] is not None
    if narrow and 0 < len(wanted.subscription_ids) <= BRANCHES_MOST:
        return tuple(Branch(Part.ALL, tenants[0], key) for key in wanted.subscription_ids)
    if len(tenants) * len(parts) > BRANCHES_MOST:
        tenants = (None,)
    return tuple(Branch(part, tenant) for part in parts for tenant in tenants)


@dataclass(frozen=True, slots=True)
class Span:
    """Ids beyond `after` and below `before`; `ascending`: the oldest of them first."""

    after: UUID
    before: UUID
    ascending: bool = False


def span_of(wanted: Wanted, before: UUID | None = None, after: UUID | None = None) -> Span:
    """The ids of the wanted time, from a cursor on."""
    low = id_floor(wanted.since).int - 1 if wanted.since else 0
    high = id_floor(wanted.until).int if wanted.until else LAST_ID.int
    if before:
        high = min(high, before.int)
    if after:
        low = max(low, after.int)
    return Span(UUID(int=max(low, 0)), UUID(int=max(high, 0)), ascending=after is not None)


def millisecond_of(event_id: UUID) -> tuple[UUID, UUID]:
    """The first and the last id of an event's millisecond: between them are all of its deliveries."""
    first = event_id.int // _MILLISECOND_IDS * _MILLISECOND_IDS
    return UUID(int=first), UUID(int=first + _MILLISECOND_IDS - 1)


def until_now(wanted: Wanted, now: datetime) -> Wanted:
    """Without what is planned from now on."""
    return replace(wanted, until=min(wanted.until, now) if wanted.until else now)
