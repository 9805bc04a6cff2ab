from __future__ import annotations

from uuid import uuid4

from delivery.fairness import BULK_LANES, FairShare, bulk_lane
from delivery.models import DispatchLane
from delivery.planning import PlannedDelivery, share_lanes


def planned(tenant_id: int, lane: str = DispatchLane.FAST.value) -> PlannedDelivery:
    return PlannedDelivery(uuid4(), tenant_id, uuid4(), 1, 1, lane)


def test_share_is_a_burst_and_what_flows_back_since() -> None:
    shares = FairShare(burst=10, per_s=5)
    assert shares.take(1, 4, now_s=0.0) == 4
    assert shares.take(1, 20, now_s=0.0) == 6
    assert shares.take(1, 20, now_s=1.0) == 5
    assert shares.take(1, 1, now_s=1.0) == 0
    assert shares.take(1, 50, now_s=100.0) == 10


def test_tenants_do_not_use_up_each_others_share() -> None:
    shares = FairShare(burst=10, per_s=5)
    assert shares.take(1, 100, now_s=0.0) == 10
    assert shares.take(2, 3, now_s=0.0) == 3


def test_what_exceeds_the_share_goes_to_the_tenants_bulk_lane_in_order() -> None:
    rows = [planned(1) for _ in range(5)] + [planned(2)]
    shared = share_lanes(rows, FairShare(burst=3, per_s=1), now_s=0.0)
    assert [row.lane for row in shared] == ["fast"] * 3 + [bulk_lane(1)] * 2 + ["fast"]
    assert [row.id for row in shared] == [row.id for row in rows]


def test_slow_lane_is_left_alone_when_the_share_is_used_up() -> None:
    rows = [planned(1, DispatchLane.SLOW.value), planned(1), planned(1)]
    assert [row.lane for row in share_lanes(rows, FairShare(1, 1), 0.0)] == ["slow", "fast", bulk_lane(1)]


def test_each_tenant_has_one_bulk_lane_and_neighbours_have_others() -> None:
    assert {bulk_lane(tenant) for tenant in range(4)} == {lane.value for lane in BULK_LANES}
    assert bulk_lane(5) == bulk_lane(5)
