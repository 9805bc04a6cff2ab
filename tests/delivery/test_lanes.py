from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from math import inf
from uuid import uuid4

import pytest

from delivery.outcome import ErrorKind, OutcomeKind
from delivery.transports.base import Gate, Hold, Message
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


SPACING_S = 0.1


def add_slots(
    lanes: Lanes, *slots: float, endpoint_id: int = 1, spacing_s: float = SPACING_S, now: float = 0.0
) -> None:
    for at in slots:
        waiting = parcel(endpoint_id, now)
        waiting.message.start_at, waiting.message.spacing_s = at, spacing_s
        lanes.add(waiting, now)


def started_at(lanes: Lanes, *moments: float) -> list[float]:
    """When parcels start if the lanes are asked at these moments; each is answered at once."""
    moments_of_starts = []
    for now in moments:
        while (ready := lanes.start_next(now)) is not None:
            moments_of_starts.append(now)
            lanes.finish(ready[0], 0.001, now)
    return moments_of_starts


def test_nothing_starts_before_its_slot() -> None:
    lanes = Lanes(Limits())
    add_slots(lanes, 1.0, 1.1, 1.2)
    assert lanes.start_next(0.999) is None
    assert lanes.next_slot_at == 1.0
    assert started_at(lanes, 1.0, 1.05) == [1.0]
    assert lanes.next_slot_at == 1.1
    assert started_at(lanes, 1.1, 1.2, 1.3) == [1.1, 1.2]
    assert (lanes.next_slot_at, lanes.timed, lanes.waiting) == (inf, 0, 0)


def test_others_do_not_wait_for_a_lane_that_waits_for_its_slot() -> None:
    lanes = Lanes(Limits())
    add_slots(lanes, 5.0, endpoint_id=1)
    fill(lanes, 2, 3)
    assert [lane.endpoint_id for lane in start_all(lanes)] == [2, 2, 2]
    assert (lanes.waiting, lanes.timed) == (1, 1)


def test_slots_are_used_in_their_order_whatever_the_order_of_the_batches() -> None:
    lanes = Lanes(Limits())
    add_slots(lanes, 1.2, 1.3)
    assert lanes.start_next(0.0) is None
    add_slots(lanes, 1.0, 1.1)
    assert lanes.next_slot_at == 1.0
    assert started_at(lanes, 1.0, 1.1, 1.2, 1.3) == [1.0, 1.1, 1.2, 1.3]


def test_a_slot_may_be_used_a_little_late() -> None:
    lanes = Lanes(Limits())
    add_slots(lanes, 1.0)
    assert started_at(lanes, 1.019) == [1.019]


def test_missed_slot_is_lost_and_its_parcel_deferred() -> None:
    lanes = Lanes(Limits())
    add_slots(lanes, 1.0, 1.1, 1.2)
    assert started_at(lanes, 1.13) == []
    assert lanes.next_slot_at == 1.2
    refused = lanes.shed(1.14)
    assert [each.parcel.message.start_at for each in refused] == [1.0, 1.1]
    outcome = refused[0].outcome(0.0)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.DEFERRED, ErrorKind.RATE_LIMIT)
    assert (lanes.waiting, lanes.timed) == (1, 1)
    assert started_at(lanes, 1.2) == [1.2]


def test_a_slot_of_long_spacing_may_be_used_later() -> None:
    lanes = Lanes(Limits())
    add_slots(lanes, 1.0, spacing_s=5.0)
    assert started_at(lanes, 1.09) == [1.09]


def test_what_is_late_does_not_bunch_up() -> None:
    lanes = Lanes(Limits())
    add_slots(lanes, 1.0, 1.01, 1.02, 1.03, spacing_s=0.01)
    moments = [1.019 + 0.001 * step for step in range(20)]
    starts = started_at(lanes, *moments)
    assert len(starts) == 4
    assert min(later - sooner for sooner, later in pairwise(starts)) > 0.0029


def test_fine_slots_keep_their_pace_and_are_never_missed() -> None:
    lanes = Lanes(Limits(), Gate())
    answer_once(lanes, 1)
    add_slots(lanes, *(1.0 + number * 0.0001 for number in range(1000)), spacing_s=0.0001)
    assert lanes.timed == 0
    starts = started_at(lanes, *(1.5 + 0.001 * tick for tick in range(110)))
    assert len(starts) == 1000
    assert all(starts.count(moment) <= 32 for moment in starts)
    assert len([at for at in starts if at < 1.55]) == pytest.approx(500, abs=30)
    assert lanes.shed(1.7) == []


def test_waiting_for_a_slot_does_not_look_slow() -> None:
    lanes = Lanes(Limits(waiting=50, waiting_per_slow_endpoint=1, patience_s=0.1))
    answer_once(lanes, 1, duration_s=1.0)
    add_slots(lanes, *(10.0 + number * SPACING_S for number in range(100)))
    for now in (0.1, 1.0, 5.0):
        assert lanes.shed(now) == []


def test_waiting_for_a_slot_ends_with_the_longest_stay() -> None:
    lanes = Lanes(Limits(longest_stay_s=5.0))
    add_slots(lanes, 10.0)
    assert len(lanes.shed(5.0)) == 1
    assert (lanes.waiting, lanes.timed, lanes.start_next(10.0)) == (0, 0, None)


def test_held_endpoint_starts_nothing_and_its_queue_is_given_back() -> None:
    gate = Gate()
    lanes = Lanes(Limits(), gate)
    fill(lanes, 1, 3)
    add_slots(lanes, 1.0, endpoint_id=1)
    fill(lanes, 2, 1)
    until = datetime(2026, 1, 1, tzinfo=UTC)
    gate.held[1] = Hold(ErrorKind.BREAKER_OPEN, "failed too often", until)
    assert [lane.endpoint_id for lane in start_all(lanes, 1.0)] == [2]
    refused = lanes.shed(1.0)
    outcome = refused[0].outcome(until.timestamp() - 7)
    assert (len(refused), lanes.waiting, lanes.timed) == (4, 0, 0)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.DEFERRED, ErrorKind.BREAKER_OPEN)
    assert (outcome.error, outcome.retry_after_s) == ("failed too often", 7.0)


def test_endpoint_goes_on_when_it_is_no_longer_held() -> None:
    gate = Gate(held={1: Hold(ErrorKind.RETRY_AFTER, "asked for a pause")})
    lanes = Lanes(Limits(), gate)
    fill(lanes, 1, 1)
    assert start_all(lanes) == []
    gate.held.clear()
    assert lanes.shed(0.1) == []
    assert len(start_all(lanes, 0.1)) == 1


def test_cap_of_the_gate_is_never_passed() -> None:
    gate = Gate(caps={1: 2})
    lanes = Lanes(Limits(), gate)
    fill(lanes, 1, 5)
    started = start_all(lanes)
    assert len(started) == 2
    lanes.finish(started[0], 0.1, 0.1)
    assert len(start_all(lanes, 0.1)) == 1
    gate.caps[1] = 0
    lanes.finish(started[1], 0.1, 0.2)
    assert start_all(lanes, 0.2) == []
    gate.caps[1] = 3
    lanes.shed(0.3)
    assert len(start_all(lanes, 0.3)) == 2
    assert lanes.load_of(1) == 3


def test_capped_endpoint_starts_nothing_when_the_leases_have_ended() -> None:
    gate = Gate(caps={1: 2}, caps_until=5.0)
    lanes = Lanes(Limits(), gate)
    fill(lanes, 1, 1, 5.0)
    fill(lanes, 2, 1, 5.0)
    assert [lane.endpoint_id for lane in start_all(lanes, 5.0)] == [2]
    gate.caps_until = 10.0
    lanes.shed(5.1)
    assert [lane.endpoint_id for lane in start_all(lanes, 5.1)] == [1]


def test_load_counts_what_waits_and_what_is_in_flight() -> None:
    gate = Gate()
    lanes, others = Lanes(Limits(), gate), Lanes(Limits(), gate)
    fill(lanes, 1, 6)
    fill(others, 1, 1)
    assert len(start_all(lanes)) == 4
    assert (lanes.load_of(1), gate.load_of(1), gate.load_of(2)) == (6, 7, 0)


def busy_lane(lanes: Lanes) -> list[Lane]:
    """An endpoint with all the places that it may have in flight."""
    answer_once(lanes, 1)
    fill(lanes, 1, 500)
    return start_all(lanes)


def test_throttling_answers_halve_what_is_in_flight_once_a_window() -> None:
    lanes = Lanes(Limits())
    for lane in busy_lane(lanes):
        lanes.finish(lane, 0.01, 1.0, OutcomeKind.THROTTLED)
    assert len(start_all(lanes, 1.0)) == 16


def test_throttled_endpoint_keeps_one_place() -> None:
    lanes = Lanes(Limits())
    started = busy_lane(lanes)
    for _ in range(10):
        for lane in started:
            lanes.finish(lane, 0.01, 1.0, OutcomeKind.THROTTLED)
        started = start_all(lanes, 1.0)
    assert len(started) == 1


def test_good_answers_give_one_place_back_each_window() -> None:
    lanes = Lanes(Limits())
    for lane in busy_lane(lanes):
        lanes.finish(lane, 0.01, 1.0, OutcomeKind.THROTTLED)
    sizes = []
    for _ in range(3):
        started = start_all(lanes, 1.0)
        sizes.append(len(started))
        for lane in started:
            lanes.finish(lane, 0.01, 1.0, OutcomeKind.DELIVERED)
    assert sizes == [16, 17, 18]


def test_failures_say_nothing_about_how_much_may_be_in_flight() -> None:
    lanes = Lanes(Limits())
    for lane in busy_lane(lanes):
        lanes.finish(lane, 0.01, 1.0, OutcomeKind.FAILED)
    assert len(start_all(lanes, 1.0)) == 32


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


def test_drain_gives_back_what_missed_its_slot_too() -> None:
    lanes = Lanes(Limits())
    add_slots(lanes, 1.0, 2.0)
    assert lanes.start_next(1.5) is None
    assert [each.message.start_at for each in lanes.drain()] == [1.0, 2.0]
    assert (lanes.waiting, lanes.timed, lanes.shed(1.6), lanes.start_next(2.0)) == (0, 0, [], None)


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
