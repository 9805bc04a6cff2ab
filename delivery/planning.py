"""From matched routes to delivery rows and dispatches. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from eventcenter.ids import derived_id
from subscriptions.matching import Route

DISPATCH_DELIVERIES = 100  # design §7: 100–200 amortise the claim; more would make one worker's share too coarse


class PlannedDelivery(NamedTuple):
    """One delivery to be made."""

    id: UUID
    tenant_id: int
    event_id: UUID
    subscription_id: int
    endpoint_id: int
    lane: str


def plan_event(event_id: UUID, tenant_id: int, routes: Iterable[Route]) -> list[PlannedDelivery]:
    """One delivery a route; ids are derived, so that the same plan made twice is the same rows."""
    return [
        PlannedDelivery(
            derived_id(event_id, route.subscription_id),
            tenant_id,
            event_id,
            route.subscription_id,
            route.endpoint_id,
            route.lane,
        )
        for route in routes
    ]


def cut_batches(deliveries: Sequence[PlannedDelivery], most: int = DISPATCH_DELIVERIES) -> list[tuple[str, list[UUID]]]:
    """(lane, ids) batches of at most `most`, in planned order."""
    lanes: dict[str, list[UUID]] = {}
    for delivery in deliveries:
        lanes.setdefault(delivery.lane, []).append(delivery.id)
    return [(lane, ids[start : start + most]) for lane, ids in lanes.items() for start in range(0, len(ids), most)]
