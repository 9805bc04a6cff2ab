from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
import redis
from django.conf import settings

from config.stack.services import Services
from delivery.limiting.limits import KEY_PREFIX, LEAD_S, RESERVE_HORIZON_S, SECOND_AS, Limiter, SlotRequest, Slots
from delivery.limiting.redis_script import AWAY_S
from tests.fakes.counting import most_in
from tests.waiting import eventually

NOW = 1_800_000_000.0


@pytest.fixture
def limiter() -> Iterator[Limiter]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        for key in client.scan_iter(f"{KEY_PREFIX}*"):
            client.delete(key)
    opened = Limiter(settings.REDIS_URL)
    yield opened
    opened.close()


def ask(
    limiter: Limiter, now: float, count: int = 10_000, *, endpoint: float | None = None, tenant: float | None = None
) -> Slots:
    (slots,) = limiter.reserve([SlotRequest(1, 1, endpoint, tenant, count)], now)
    return slots


def times(slots: Slots, now: float) -> list[float]:
    return [now + slots.first_in_s + number * slots.spacing_s for number in range(slots.granted)]


def test_everything_is_granted_at_once_when_there_is_no_limit(limiter: Limiter) -> None:
    assert ask(limiter, NOW) == Slots(10_000, 0.0, 0.0, 0.0)
    assert limiter.room([SlotRequest(1, 1, None, None, 7)], NOW) == [7]


@pytest.mark.parametrize("rate", [1.0, 7.0, 200.0, 20_000.0])
@pytest.mark.parametrize("whose", ["endpoint", "tenant"])
def test_slots_are_evenly_spaced_within_the_horizon(limiter: Limiter, rate: float, whose: str) -> None:
    slots = ask(limiter, NOW, 100_000, **{whose: rate})
    assert slots.first_in_s == pytest.approx(LEAD_S, abs=1e-5)
    assert 1.02 / rate <= slots.spacing_s <= 1.04 / rate
    assert slots.granted == pytest.approx((RESERVE_HORIZON_S - LEAD_S) / slots.spacing_s, abs=1)
    assert times(slots, NOW)[-1] <= NOW + RESERVE_HORIZON_S


def test_no_more_is_granted_than_was_asked_for(limiter: Limiter) -> None:
    assert ask(limiter, NOW, 3, endpoint=100.0).granted == 3
    assert ask(limiter, NOW, 3, endpoint=100.0).first_in_s == pytest.approx(LEAD_S + 3 * SECOND_AS / 100, abs=1e-5)


@pytest.mark.parametrize("whose", ["endpoint", "tenant"])
def test_less_than_one_a_second_is_one_in_so_many_seconds(limiter: Limiter, whose: str) -> None:
    first = ask(limiter, NOW, **{whose: 0.2})
    assert first.granted == 1
    assert 4 < first.wait_s < 5
    assert ask(limiter, NOW + 3.9, **{whose: 0.2}).granted == 0
    later = NOW + first.wait_s
    second = ask(limiter, later, **{whose: 0.2})
    assert second.granted == 1
    assert 5.0 < times(second, later)[0] - times(first, NOW)[0] < 5.25


def test_slots_go_on_without_a_gap_when_asked_again_after_the_wait(limiter: Limiter) -> None:
    first = ask(limiter, NOW, endpoint=50.0)
    later = NOW + first.wait_s
    second = ask(limiter, later, endpoint=50.0)
    assert times(second, later)[0] - times(first, NOW)[-1] == pytest.approx(first.spacing_s, abs=1e-4)


def test_a_pause_earns_no_burst(limiter: Limiter) -> None:
    ask(limiter, NOW, endpoint=100.0)
    later = NOW + 100
    slots = ask(limiter, later, endpoint=100.0)
    assert slots.granted == pytest.approx(93, abs=1)


def test_room_takes_nothing(limiter: Limiter) -> None:
    request = SlotRequest(1, 1, 100.0, 100.0, 500)
    room = limiter.room([request, request], NOW)
    assert room[0] > 90
    assert room[1] == 0
    assert limiter.room([request], NOW) == room[:1]
    assert limiter.reserve([request], NOW)[0].granted == room[0]
    assert limiter.room([request], NOW) == [0]


def test_slow_endpoint_takes_only_the_slots_that_it_uses(limiter: Limiter) -> None:
    slow, fast = SlotRequest(1, 1, 5.0, 100.0, 500), SlotRequest(2, 1, None, 100.0, 500)
    slow_slots, fast_slots = limiter.reserve([slow, fast], NOW)
    assert slow_slots.granted == 5
    assert fast_slots.granted > 85
    assert most_in(times(slow_slots, NOW) + times(fast_slots, NOW)) <= 100


def test_tenants_do_not_share(limiter: Limiter) -> None:
    slots = limiter.reserve([SlotRequest(number, number, None, 10.0, 5) for number in range(3)], NOW)
    assert [each.granted for each in slots] == [5, 5, 5]
    assert len({each.first_in_s for each in slots}) == 1


def test_answers_are_in_the_order_of_the_requests(limiter: Limiter) -> None:
    requests = [SlotRequest(1, 1, None, None, 4), SlotRequest(2, 1, 1.0, None, 4), SlotRequest(3, 1, None, None, 5)]
    assert [slots.granted for slots in limiter.reserve(requests, NOW)] == [4, 1, 5]


@pytest.mark.parametrize("seed", range(12))
def test_no_second_holds_more_than_the_limits_whoever_asks_when(limiter: Limiter, seed: int) -> None:
    """Several processes' askings, by a controlled clock."""
    dice = random.Random(seed)
    tenant_rate = dice.choice([3.0, 40.0, 250.0])
    rates = {1: None, 2: tenant_rate / 5, 3: tenant_rate / 2, 4: tenant_rate * 2}
    taken: dict[int, list[float]] = {endpoint_id: [] for endpoint_id in rates}
    now = NOW
    while now < NOW + 6:
        chosen = dice.sample(sorted(rates), dice.randint(1, 4))
        requests = [SlotRequest(pk, 1, rates[pk], tenant_rate, dice.choice([1, 10, 200])) for pk in chosen]
        for request, slots in zip(requests, limiter.reserve(requests, now), strict=True):
            taken[request.endpoint_id] += times(slots, now)
        now += dice.expovariate(20)
    # What is late by 20 ms, and 10 ms on its way, still is within the limit.
    assert most_in([at for each in taken.values() for at in each], SECOND_AS) <= tenant_rate
    for endpoint_id, rate in rates.items():
        gaps = [later - sooner for sooner, later in pairwise(sorted(taken[endpoint_id]))]
        assert min(gaps) >= SECOND_AS / (rate or tenant_rate) - 1e-4
    assert len([at for each in taken.values() for at in each if at < NOW + 6]) >= 0.95 * tenant_rate * 5.9 - 1


def test_lower_limit_counts_at_once_and_a_higher_one_soon(limiter: Limiter) -> None:
    ask(limiter, NOW, 1, endpoint=0.01)
    assert ask(limiter, NOW + 1, endpoint=0.01).granted == 0
    assert ask(limiter, NOW + 1, endpoint=100.0).first_in_s < RESERVE_HORIZON_S + 0.02


def test_keys_expire(limiter: Limiter) -> None:
    limiter.reserve([SlotRequest(1, 1, 10.0, 10.0, 100)])
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        lives = [client.pttl(key) for key in client.scan_iter(f"{KEY_PREFIX}*")]
    assert len(lives) == 2
    assert all(0 < life < 10_000 for life in lives)


def test_nothing_with_a_limit_is_granted_when_redis_is_away(
    limiter: Limiter, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    services.valkey.stop()
    try:
        requests = [SlotRequest(1, 1, 100.0, None, 5), SlotRequest(2, 1, None, None, 5)]
        for _ in range(3):
            limited, free = limiter.reserve(requests)
            assert (limited.granted, free.granted) == (0, 5)
            assert limited.wait_s == AWAY_S
        assert limiter.room(requests) == [0, 5]
    finally:
        services.valkey.start()
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    assert eventually(lambda: limiter.reserve(requests)[0].granted) == 5
