from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
import redis
from django.conf import settings

from config.stack.services import Services
from delivery.limiting.places import GRACE_S, KEY_PREFIX, LEASE_MARGIN_S, LEASE_S, Places
from delivery.transports.base import Gate
from tests.waiting import eventually

ENDPOINTS = count(1_000_000)


class Worker:
    """A process' places, and what its transports would say they have of the endpoint."""

    def __init__(self) -> None:
        self.load = 0
        self.gate = Gate()
        self.gate.loads.append(lambda _: self.load)
        self.places = Places(settings.REDIS_URL, self.gate)

    def want(self, endpoint_id: int, cap: int, number: int) -> int:
        """As a runner that hands over what it may."""
        granted = self.places.want(endpoint_id, cap, number)
        self.load += granted
        return granted


@pytest.fixture
def endpoint_id() -> int:
    return next(ENDPOINTS)


@pytest.fixture
def new_worker() -> Iterator[Callable[[], Worker]]:
    workers: list[Worker] = []

    def make() -> Worker:
        workers.append(Worker())
        return workers[-1]

    yield make
    for worker in workers:
        worker.places.close()


def test_first_who_asks_gets_what_it_needs_and_the_next_the_rest(
    new_worker: Callable[[], Worker], endpoint_id: int
) -> None:
    alice, bob, charlie = new_worker(), new_worker(), new_worker()
    assert alice.want(endpoint_id, 3, 2) == 2
    assert bob.want(endpoint_id, 3, 100) == 100
    assert charlie.want(endpoint_id, 3, 1) == 0
    assert [each.gate.caps[endpoint_id] for each in (alice, bob, charlie)] == [2, 1, 0]


def test_one_process_sends_when_there_is_one_place(new_worker: Callable[[], Worker], endpoint_id: int) -> None:
    alice, bob = new_worker(), new_worker()
    assert (alice.want(endpoint_id, 1, 5), bob.want(endpoint_id, 1, 5)) == (5, 0)
    alice.load = 0
    assert eventually(lambda: bob.want(endpoint_id, 1, 5), every_s=0.2) == 5
    assert (alice.gate.caps[endpoint_id], bob.gate.caps[endpoint_id]) == (0, 1)


def test_place_in_use_is_not_given_back(new_worker: Callable[[], Worker], endpoint_id: int) -> None:
    alice, bob = new_worker(), new_worker()
    alice.want(endpoint_id, 3, 3)
    alice.load = 1
    assert eventually(lambda: alice.gate.caps[endpoint_id] == 1)
    bob.want(endpoint_id, 3, 10)
    assert (alice.gate.caps[endpoint_id], bob.gate.caps[endpoint_id]) == (1, 2)


def test_what_is_on_its_way_to_the_lanes_keeps_its_place(new_worker: Callable[[], Worker], endpoint_id: int) -> None:
    alice = new_worker()
    alice.places.want(endpoint_id, 3, 2)
    alice.places.keep_alive()
    assert alice.gate.caps[endpoint_id] == 2


def test_what_came_late_to_the_lanes_gets_places_again(new_worker: Callable[[], Worker], endpoint_id: int) -> None:
    alice = new_worker()
    alice.places.want(endpoint_id, 3, 2)
    assert eventually(lambda: alice.gate.caps[endpoint_id] == 0)
    alice.load = 2
    assert eventually(lambda: alice.gate.caps[endpoint_id] == 2)


def test_place_is_kept_when_something_starts_at_the_moment_of_the_look(
    new_worker: Callable[[], Worker], endpoint_id: int
) -> None:
    """A transport that sees the cap before it comes down, and starts; the second look finds that."""
    alice = new_worker()
    alice.want(endpoint_id, 1, 1)
    alice.places._closing.set()  # no keeper: this test is the only one that calls
    time.sleep(GRACE_S)
    looks: list[int] = []

    def load(_: int) -> int:
        looks.append(alice.gate.caps[endpoint_id])
        return len(looks) - 1

    alice.gate.loads[:] = [load]
    alice.places.keep_alive()
    assert looks == [1, 0]
    assert alice.gate.caps[endpoint_id] == 1


def test_lower_cap_counts_at_once(new_worker: Callable[[], Worker], endpoint_id: int) -> None:
    alice = new_worker()
    alice.want(endpoint_id, 5, 10)
    assert alice.gate.caps[endpoint_id] == 5
    alice.want(endpoint_id, 2, 10)
    assert alice.gate.caps[endpoint_id] == 2


def test_close_gives_all_back(new_worker: Callable[[], Worker], endpoint_id: int) -> None:
    alice, bob = new_worker(), new_worker()
    alice.want(endpoint_id, 2, 2)
    alice.places.close()
    assert (alice.gate.caps[endpoint_id], alice.want(endpoint_id, 2, 2)) == (0, 0)
    assert bob.want(endpoint_id, 2, 2) == 2
    assert bob.gate.caps[endpoint_id] == 2


def test_places_of_a_killed_process_are_free_when_its_lease_ends(
    new_worker: Callable[[], Worker], endpoint_id: int
) -> None:
    bob = new_worker()
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        now_ms = int(time.time() * 1000)
        client.hset(
            f"{KEY_PREFIX}{endpoint_id}", mapping={"killed": f"1 {now_ms - 1}", "alive": f"1 {now_ms + 60_000}"}
        )
        bob.want(endpoint_id, 3, 3)
        assert bob.gate.caps[endpoint_id] == 2
        assert not client.hexists(f"{KEY_PREFIX}{endpoint_id}", "killed")
        assert 0 < client.pttl(f"{KEY_PREFIX}{endpoint_id}") <= LEASE_S * 1000


def test_leases_are_renewed_while_places_are_in_use(new_worker: Callable[[], Worker], endpoint_id: int) -> None:
    alice = new_worker()
    alice.want(endpoint_id, 2, 2)
    first = alice.gate.caps_until
    assert LEASE_S - LEASE_MARGIN_S - 1 < first - time.monotonic() <= LEASE_S - LEASE_MARGIN_S
    assert eventually(lambda: alice.gate.caps_until > first)
    assert alice.gate.caps[endpoint_id] == 2


def test_new_places_do_not_prolong_the_leases_of_others(new_worker: Callable[[], Worker], endpoint_id: int) -> None:
    alice = new_worker()
    alice.want(endpoint_id, 2, 2)
    alice.places._closing.set()
    alice.places._keeper.join()  # type: ignore[union-attr]
    alice.places._closing.clear()
    until = alice.gate.caps_until
    alice.want(next(ENDPOINTS), 2, 2)
    assert alice.gate.caps_until == until


def test_there_are_no_new_places_when_redis_is_away(
    new_worker: Callable[[], Worker], endpoint_id: int, services: Services
) -> None:
    alice, bob = new_worker(), new_worker()
    alice.want(endpoint_id, 2, 1)
    services.valkey.stop()
    try:
        assert alice.want(endpoint_id, 2, 1) == 1  # it still has one
        assert alice.gate.caps[endpoint_id] == 1
        assert bob.want(endpoint_id, 2, 1) == 0
        assert bob.gate.caps[endpoint_id] == 0
        alice.gate.caps_until = time.monotonic()
        assert alice.want(endpoint_id, 2, 1) == 0
    finally:
        services.valkey.start()
    assert eventually(lambda: alice.gate.caps[endpoint_id] == 2 and alice.gate.caps_until > time.monotonic())


def test_what_redis_lost_is_taken_again(new_worker: Callable[[], Worker], endpoint_id: int) -> None:
    alice, bob = new_worker(), new_worker()
    alice.want(endpoint_id, 3, 3)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(f"{KEY_PREFIX}{endpoint_id}")
        assert eventually(lambda: client.hlen(f"{KEY_PREFIX}{endpoint_id}") == 1)
    assert bob.want(endpoint_id, 3, 3) == 0


def test_cap_is_forgotten_when_nothing_came_for_long(
    new_worker: Callable[[], Worker], endpoint_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint whose cap was removed."""
    alice = new_worker()
    alice.want(endpoint_id, 3, 3)
    monkeypatch.setattr("delivery.limiting.places.FORGET_S", 0.1)
    assert eventually(lambda: endpoint_id not in alice.gate.caps)
