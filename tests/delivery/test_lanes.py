from __future__ import annotations

from uuid import uuid4

import pytest

from delivery.transports.base import Message
from delivery.transports.lanes import MAX_IN_FLIGHT, SLOW_AFTER_S, Lane, Lanes, Limits, Parcel


def parcel(endpoint_id: int, handed_at: float = 0.0) -> Parcel:
    message = Message(uuid4(), endpoint_id, 1, "https://hooks.example.com/", (), b"", 15.0)
    return Parcel(message, lambda *_: None, handed_at)


def fill(lanes: Lanes, endpoint_id: int, count: int, now: float = 0.0) -> None:
    for _ in range(count):
        lanes.add(parcel(endpoint_id, now), now)


def start_all(lanes: Lanes, now: float = 0.0) -> list[Lane]:
    started = []
    while (ready := lanes.start_next(now)) is not None:
        started.append(ready[0])
    return started


def test_endpoints_take_turns() -> None:
    lanes = Lanes(Limits())
    fill(lanes, 1, 4)
    fill(lanes, 2, 2)
    fill(lanes, 3, 1)
    assert [lane.endpoint_id for lane in start_all(lanes)] == [1, 2, 3, 1, 2, 1, 1]
    assert (lanes.waiting, lanes.in_flight) == (0, 7)


def answer_once(lanes: Lanes, endpoint_id: int, duration_s: float = 0.01, now: float = 0.0) -> None:
    fill(lanes, endpoint_id, 1, now)
    for lane in start_all(lanes, now):
        lanes.finish(lane, duration_s, now)


def test_cap_per_endpoint_holds_and_frees_one_by_one() -> None:
    lanes = Lanes(Limits(in_flight_per_endpoint=3))
    fill(lanes, 1, 10)
    started = start_all(lanes)
    assert len(started) == 3
    lanes.finish(started[0], 0.1, 0.1)
    assert len(start_all(lanes)) == 1
    assert (lanes.waiting, lanes.in_flight) == (6, 3)


def test_an_endpoint_alone_gets_all_of_its_cap_once_it_has_answered() -> None:
    lanes = Lanes(Limits())
    fill(lanes, 1, 100)
    started = start_all(lanes)
    assert len(started) == 4
    lanes.finish(started[0], 0.01, 0.01)
    start_all(lanes)
    assert lanes.in_flight == 32


@pytest.mark.parametrize("known_before", [False, True])
def test_there_is_room_for_others_when_many_endpoints_hang(known_before: bool) -> None:
    lanes = Lanes(Limits())
    for endpoint_id in range(20):
        if known_before:
            answer_once(lanes, endpoint_id)
        fill(lanes, endpoint_id, 40)
        start_all(lanes)
    fill(lanes, 99, 1)
    assert [lane.endpoint_id for lane in start_all(lanes)] == [99]


def test_endpoints_known_to_be_slow_leave_a_quarter_free() -> None:
    lanes = Lanes(Limits())
    for endpoint_id in range(300):
        answer_once(lanes, endpoint_id, duration_s=10.0)
    for endpoint_id in range(300):
        fill(lanes, endpoint_id, 5)
    start_all(lanes)
    assert lanes.in_flight == 192
    fill(lanes, 999, 1)
    assert [lane.endpoint_id for lane in start_all(lanes)] == [999]


def test_an_endpoint_that_stalls_gets_no_more_of_the_last_quarter() -> None:
    lanes = Lanes(Limits(in_flight=20, in_flight_per_endpoint=2))
    for endpoint_id in range(12):
        answer_once(lanes, endpoint_id)
    for endpoint_id in range(12):
        fill(lanes, endpoint_id, 1)
    assert len(start_all(lanes)) == 12
    fill(lanes, 0, 1)
    fill(lanes, 1, 1)
    assert start_all(lanes, now=2.0) == []
    assert len(start_all(lanes, now=0.5)) == 2


def test_fast_endpoint_keeps_a_long_queue() -> None:
    lanes = Lanes(Limits())
    fill(lanes, 1, 2000)
    for _ in range(200):
        for lane in start_all(lanes)[:8]:
            lanes.finish(lane, 0.002, 0.0)
    assert lanes.shed(0.0) == []
    assert lanes.shed(SLOW_AFTER_S) == []


def test_endpoint_that_answers_nothing_loses_all_but_its_allowance() -> None:
    lanes = Lanes(Limits(waiting=2000, waiting_per_slow_endpoint=400))
    fill(lanes, 1, 1500)
    start_all(lanes)
    assert lanes.shed(0.2) == []  # a pause of our own process looks the same
    refused = lanes.shed(0.3 + SLOW_AFTER_S)
    assert len(refused) == 1500 - 4 - 400
    assert lanes.waiting == 400
    assert refused[0].hold_s == pytest.approx(1496 * 0.8 / 32)


def test_allowance_shrinks_as_the_process_fills() -> None:
    lanes = Lanes(Limits(waiting=300, waiting_per_slow_endpoint=200))
    fill(lanes, 1, 232)
    start_all(lanes)
    fill(lanes, 2, 90)
    assert lanes.waiting > 300
    lanes.shed(1.0)
    lanes.shed(1.1 + SLOW_AFTER_S)
    assert lanes.waiting < 150


def test_nothing_stays_longer_than_promised() -> None:
    lanes = Lanes(Limits(in_flight_per_endpoint=1, longest_stay_s=5.0))
    lanes.add(parcel(1, 0.0), 0.0)
    lanes.add(parcel(1, 0.0), 0.0)
    lanes.add(parcel(1, 3.0), 3.0)
    start_all(lanes)
    assert lanes.shed(4.9) == []
    assert [refused.parcel.handed_at for refused in lanes.shed(5.0)] == [0.0]
    assert lanes.waiting == 1


def test_drain_empties_everything_and_a_lane_can_fill_again() -> None:
    lanes = Lanes(Limits(in_flight_per_endpoint=1))
    fill(lanes, 1, 3)
    fill(lanes, 2, 2)
    started = start_all(lanes)
    assert len(lanes.drain()) == 3
    assert lanes.waiting == 0
    for lane in started:
        lanes.finish(lane, 0.1, 1.0)
    assert start_all(lanes) == []
    fill(lanes, 1, 1, 2.0)
    assert len(start_all(lanes, 2.0)) == 1


def test_many_endpoints_are_not_remembered_for_ever() -> None:
    lanes = Lanes(Limits())
    for endpoint_id in range(3000):
        fill(lanes, endpoint_id, 1)
        for lane in start_all(lanes):
            lanes.finish(lane, 0.01, 0.0)
    lanes.shed(1.0)
    assert len(lanes._lanes) <= 1024


@pytest.mark.parametrize(("total", "each"), [(MAX_IN_FLIGHT + 1, 32), (16, 32), (16, 0)])
def test_limits_that_cannot_be_kept_are_refused(total: int, each: int) -> None:
    with pytest.raises(ValueError, match="in flight"):
        Limits(in_flight=total, in_flight_per_endpoint=each)
