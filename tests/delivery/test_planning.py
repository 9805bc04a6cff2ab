from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from delivery.planning import DISPATCH_DELIVERIES, PlannedDelivery, cut_batches, plan_event
from eventcenter.ids import derived_id, id_time, new_id
from subscriptions.matching import Route


def route(subscription: int, lane: str = "fast") -> Route:
    return Route(subscription, subscription * 10, lane, ("t",), frozenset(), None)


def test_one_delivery_is_planned_for_each_route() -> None:
    event_id = new_id()
    planned = plan_event(event_id, 7, [route(1), route(2, "slow")])
    assert planned == [
        PlannedDelivery(derived_id(event_id, 1), 7, event_id, 1, 10, "fast"),
        PlannedDelivery(derived_id(event_id, 2), 7, event_id, 2, 20, "slow"),
    ]


def test_same_plan_is_the_same_rows_when_it_is_made_twice() -> None:
    event_id = new_id()
    assert plan_event(event_id, 7, [route(1)]) == plan_event(event_id, 7, [route(1)])


def test_nothing_is_planned_when_nobody_wants_the_event() -> None:
    assert plan_event(new_id(), 7, []) == []
    assert cut_batches([]) == []


@given(st.integers(min_value=0, max_value=(1 << 128) - 1), st.lists(st.integers(1, 2**62), unique=True, max_size=50))
def test_deliveries_of_one_event_are_distinct_and_of_its_millisecond(event: int, subscriptions: list[int]) -> None:
    event_id = UUID(int=event & ~(0xF << 76) | (7 << 76))
    ids = [derived_id(event_id, subscription) for subscription in subscriptions]
    assert len(set(ids)) == len(ids)
    assert all(one.int >> 80 == event_id.int >> 80 and one.version == 7 for one in ids)


def test_ids_differ_when_two_events_share_a_millisecond() -> None:
    first = new_id()
    second = UUID(int=first.int ^ 1)
    assert derived_id(first, 1) != derived_id(second, 1)
    assert id_time(derived_id(first, 1)) == id_time(derived_id(second, 1))


LANES = st.sampled_from(["fast", "slow"])


@given(st.lists(LANES, max_size=350), st.integers(1, 120))
def test_every_delivery_is_in_one_batch_of_its_lane_in_planned_order(lanes: list[str], most: int) -> None:
    event_id = new_id()
    planned = [plan_event(event_id, 1, [route(number, lane)])[0] for number, lane in enumerate(lanes)]
    batches = cut_batches(planned, most)
    for lane in ("fast", "slow"):
        together = [one for name, ids in batches if name == lane for one in ids]
        assert together == [item.id for item in planned if item.lane == lane]
    assert all(1 <= len(ids) <= most for _, ids in batches)


def test_batches_are_as_large_as_the_design_says() -> None:
    planned = [plan_event(new_id(), 1, [route(1)])[0] for _ in range(DISPATCH_DELIVERIES * 2 + 1)]
    assert [len(ids) for _, ids in cut_batches(planned)] == [DISPATCH_DELIVERIES, DISPATCH_DELIVERIES, 1]
