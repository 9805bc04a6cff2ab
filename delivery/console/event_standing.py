"""How the deliveries of a page's events stand: one query, a short range of the primary key for each event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from delivery.states import OPEN_STATUSES, DeliveryStatus
from eventcenter.models import Event
from eventcenter.store import columns_of, rows

# An event to more subscriptions than this shows "or more".
COUNTED_MOST = 1_000

# Index: primary key. A delivery's id begins with its event's millisecond (eventcenter.ids.derived_id).
STANDING: LiteralString = """
SELECT e.id, d.status, count(*) FROM unnest(%b::uuid[], %b::bigint[], %b::uuid[], %b::uuid[]) AS e (id, tenant_id, first, last)
CROSS JOIN LATERAL (
    SELECT status FROM delivery_delivery
    WHERE id >= e.first AND id <= e.last AND tenant_id = e.tenant_id AND event_id = e.id LIMIT 1000
) d GROUP BY e.id, d.status
"""


@dataclass(frozen=True, slots=True)
class Part:
    """So many deliveries of an event have this status."""

    status: DeliveryStatus
    count: int


def id_range(event_id: UUID) -> tuple[UUID, UUID]:
    """Where the deliveries of an event lie among all deliveries."""
    return UUID(int=event_id.int >> 80 << 80), UUID(int=event_id.int | (1 << 80) - 1)


def standings(events: Sequence[Event]) -> dict[UUID, list[Part]]:
    """Event id → its deliveries by status, what is wrong first; an event with none is missing. One query."""
    if not events:
        return {}
    found: dict[UUID, list[Part]] = {}
    for event_id, status, count in rows(STANDING, columns_of((e.pk, e.tenant_id, *id_range(e.pk)) for e in events)):
        found.setdefault(event_id, []).append(Part(DeliveryStatus(status), count))
    for parts in found.values():
        parts.sort(key=lambda part: _ORDER.index(part.status))
    return found


_ORDER = (
    DeliveryStatus.DEAD,
    *(status for status in DeliveryStatus if status in OPEN_STATUSES),
    DeliveryStatus.CANCELLED,
    DeliveryStatus.DELIVERED,
)
