"""From matched routes to delivery rows and dispatches. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from delivery.fairness import FairShare, bulk_lane
from delivery.models import DispatchLane
from delivery.order.order_key import order_key
from eventcenter.ids import derived_id
from subscriptions.matching import Route

# What is held is let go by delivery.release; so late at the latest the sweep looks at it all the same.
HELD_LOOK_S = 900.0
FAST = DispatchLane.FAST.value
DISPATCH_DELIVERIES = 100  # design §7: 100–200 amortise the claim; more would make one worker's share too coarse


class PlannedDelivery(NamedTuple):
    """One delivery to be made."""

    id: UUID
    tenant_id: int
    event_id: UUID
    subscription_id: int
    endpoint_id: int
    lane: str
    order_key: UUID | None = None  # of an ordered subscription


def plan_event(event_id: UUID, tenant_id: int, routes: Iterable[Route], order_by: str = "") -> list[PlannedDelivery]:
    """One delivery a route; ids are derived, so that the same plan made twice is the same rows.

    `order_by` is the event's partition key; it is asked for where one of the routes is ordered.
    """
    return [
        PlannedDelivery(
            derived_id(event_id, route.subscription_id),
            tenant_id,
            event_id,
            route.subscription_id,
            route.endpoint_id,
            route.lane,
            order_key(route.subscription_id, order_by) if route.ordered else None,
        )
        for route in routes
    ]


def share_lanes(deliveries: Sequence[PlannedDelivery], shares: FairShare, now_s: float) -> list[PlannedDelivery]:
    """The same, with what exceeds its tenant's share moved from the fast lane to a bulk lane."""
    wanted = Counter(row.tenant_id for row in deliveries if row.lane == FAST)
    left = {tenant_id: shares.take(tenant_id, count, now_s) for tenant_id, count in wanted.items()}
    if left == wanted:
        return list(deliveries)
    return [_in_share(row, left) for row in deliveries]


def _in_share(row: PlannedDelivery, left: dict[int, int]) -> PlannedDelivery:
    if row.lane != FAST:
        return row
    left[row.tenant_id] -= 1
    return row if left[row.tenant_id] >= 0 else row._replace(lane=bulk_lane(row.tenant_id))


def cut_batches(deliveries: Sequence[PlannedDelivery], most: int = DISPATCH_DELIVERIES) -> list[tuple[str, list[UUID]]]:
    """(lane, ids) batches of at most `most`, in planned order."""
    lanes: dict[str, list[UUID]] = {}
    for delivery in deliveries:
        lanes.setdefault(delivery.lane, []).append(delivery.id)
    return [(lane, ids[start : start + most]) for lane, ids in lanes.items() for start in range(0, len(ids), most)]
