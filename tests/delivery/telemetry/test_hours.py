"""Minutes become hours, and are forgotten; no sum changes by it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection
from django.forms.models import model_to_dict
from pytest_django import Settings

from delivery.models import DeliveryCounter, DeliveryHour
from delivery.telemetry import hours, sums
from delivery.telemetry.hours import SETTLED_AFTER, forget_minutes, roll_up
from delivery.telemetry.sums import EPOCH, FOREVER, HOUR
from eventcenter.models import PublishRefusalCounter
from tests.delivery.telemetry.counted import BUCKETS, minute

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TEN = NINE + HOUR


def at(minutes: int) -> datetime:
    return NINE + timedelta(minutes=minutes)


def kept() -> list[tuple[int, int, int]]:
    """(hours after nine, endpoint, attempts) of what is kept."""
    rows = DeliveryHour.objects.order_by("hour", "endpoint_id").values_list("hour", "endpoint_id", "attempts")
    return [(round((start - NINE) / HOUR), endpoint_id, attempts) for start, endpoint_id, attempts in rows]


def roll_up_all(now: datetime) -> int:
    return sum(iter(lambda: roll_up(now), 0))


@pytest.mark.django_db
def test_one_hour_is_kept_at_a_time_when_many_are_missing() -> None:
    for hour in (0, 1, 50):
        minute(at(60 * hour), attempts=1 + hour)
        minute(at(60 * hour), endpoint_id=2, attempts=1)
    assert roll_up(NINE + timedelta(days=5)) == 2
    assert kept() == [(0, 1, 1), (0, 2, 1)]
    assert [roll_up(NINE + timedelta(days=5)) for _ in range(3)] == [2, 2, 0]


@pytest.mark.django_db
def test_an_hour_holds_its_minutes_sums_when_it_is_settled() -> None:
    minute(at(0), attempts=3, delivered=2, first_attempts=1, duplicates=1, signature_refused=4)
    minute(at(59), shard=2, attempts=4, delivered=1, dead=2, failed=1, retried=1, deferred=5, first_delivered=1)
    minute(at(59), endpoint_id=2, tenant_id=7, attempts=8)
    minute(at(60), attempts=16)
    assert roll_up(TEN + SETTLED_AFTER) == 2
    first = model_to_dict(DeliveryHour.objects.get(endpoint_id=1))
    assert first == {
        "hour": NINE,
        "endpoint_id": 1,
        "tenant_id": 1,
        "attempts": 7,
        "first_attempts": 1,
        "first_delivered": 1,
        "delivered": 3,
        "failed": 1,
        "retried": 1,
        "dead": 2,
        "deferred": 5,
        "duplicates": 1,
        "signature_refused": 4,
        "latency_buckets": [3 if place == 3 else 0 for place in range(BUCKETS)],
        "latency_ms_sum": 90.0,
    }
    assert kept() == [(0, 1, 7), (0, 2, 8)]


@pytest.mark.django_db
def test_nothing_is_kept_when_the_hour_is_not_settled() -> None:
    minute(at(0), attempts=1)
    assert roll_up(TEN + SETTLED_AFTER - timedelta(seconds=1)) == 0
    assert kept() == []


@pytest.mark.django_db
def test_hours_are_kept_once_when_it_is_done_again_and_after_a_pause() -> None:
    minute(at(0), attempts=1)
    assert roll_up(TEN + SETTLED_AFTER) == 1
    assert roll_up(TEN + SETTLED_AFTER) == 0
    for hour in (2, 30, 31, 24 * 9):
        minute(at(60 * hour), attempts=hour)
    assert roll_up_all(NINE + timedelta(days=12)) == 4
    assert roll_up_all(NINE + timedelta(days=12)) == 0
    assert kept() == [(0, 1, 1), (2, 1, 2), (30, 1, 30), (31, 1, 31), (24 * 9, 1, 24 * 9)]


@pytest.mark.django_db
def test_nothing_is_done_when_nothing_was_counted() -> None:
    assert roll_up(TEN) == 0
    assert forget_minutes(TEN) == 0


@pytest.mark.django_db(transaction=True)
def test_hours_are_kept_once_when_several_processes_do_it_at_once() -> None:
    for hour in range(60):
        minute(at(60 * hour), attempts=1)

    def run(_: int) -> int:
        try:
            return roll_up_all(NINE + timedelta(days=5))
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(run, range(3))) == 60
    assert len(kept()) == 60


@pytest.mark.django_db(transaction=True)
def test_nothing_is_kept_while_a_transaction_is_open_that_could_still_add_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    minute(at(0), attempts=1)
    monkeypatch.setattr(hours, "SETTLED_AFTER", timedelta(0))
    with open_transaction():
        assert roll_up(NINE + timedelta(days=1)) == 0
    assert roll_up(NINE + timedelta(days=1)) == 1


@contextmanager
def open_transaction() -> Iterator[None]:
    known = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    dsn = psycopg.conninfo.make_conninfo(**{name: known[name] for name in names if known.get(name)})
    with psycopg.connect(dsn) as other:
        other.execute("SELECT 1")
        yield


@pytest.mark.django_db
def test_minutes_are_forgotten_when_they_are_old_and_their_hours_are_kept(settings: Settings) -> None:
    settings.COUNTER_MINUTES_DAYS = 2
    for day in range(5):
        minute(NINE + timedelta(days=day), attempts=1 << day)
    now = NINE + timedelta(days=4)
    assert forget_minutes(now) == 0, "no hour is kept yet"
    roll_up_all(NINE + timedelta(days=1, hours=2))
    assert forget_minutes(now) == 2, "of the third day none is kept, though it is old"
    roll_up_all(now)
    assert forget_minutes(now) == 0, "the third day is not old yet"
    assert forget_minutes(now + HOUR) == 1
    assert DeliveryCounter.objects.count() == 2
    assert sums.total(EPOCH, FOREVER).attempts == 0b11111


@pytest.mark.django_db
def test_old_refusals_become_days_when_minutes_are_forgotten() -> None:
    PublishRefusalCounter.objects.create(minute=NINE, tenant_id=7, reason="wrong", shard=3, count=5)
    assert forget_minutes(NINE + timedelta(days=36)) == 1
    assert sums.publish_refusals(EPOCH, FOREVER) == {7: {"wrong": 5}}
    assert PublishRefusalCounter.objects.get().minute == NINE.replace(hour=0)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_total_ever_changes_when_hours_are_kept_and_minutes_forgotten(seed: int, settings: Settings) -> None:
    """A reader that looks after each step of a random life of the counters."""
    settings.COUNTER_MINUTES_DAYS = 2
    dice, now, expected = random.Random(seed), NINE, 0
    for _ in range(40):
        now += timedelta(minutes=dice.choice((1, 7, 61, 400, 3000)))
        at_minute = now.replace(second=0)
        count = dice.randrange(1, 9)
        minute(at_minute, endpoint_id=dice.randrange(3), shard=dice.randrange(2), attempts=count)
        expected += count
        if dice.random() < 0.6:
            roll_up(now)
        if dice.random() < 0.4:
            forget_minutes(now)
        assert sums.total(EPOCH, FOREVER).attempts == expected
        edge = now - timedelta(minutes=dice.randrange(100))
        assert sums.total(EPOCH, edge) + sums.total(edge, FOREVER) == sums.total(EPOCH, FOREVER)
        assert sum(row.attempts for row in sums.by_tenant(EPOCH, FOREVER).values()) == expected
        assert sum(row.attempts for row in sums.total_by_endpoint(EPOCH, FOREVER).values()) == expected
    assert DeliveryHour.objects.exists()
