"""Sums over spans of time, from minutes and kept hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from delivery.models import DeliveryCounter, DeliveryHour
from delivery.telemetry import sums
from delivery.telemetry.sums import EPOCH, FOREVER, EndpointSums, Sums
from eventcenter.models import PublishRefusalCounter
from eventcenter.row_security import scoped
from tests.delivery.telemetry.counted import BUCKETS, minute

pytestmark = pytest.mark.django_db

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return NINE + timedelta(minutes=minutes)


def hour(start: datetime, endpoint_id: int = 1, tenant_id: int = 1, **counts: int) -> None:
    DeliveryHour.objects.create(
        hour=start, endpoint_id=endpoint_id, tenant_id=tenant_id, latency_buckets=[0] * BUCKETS, **counts
    )


def test_an_endpoints_shards_are_added_up_and_others_left_out_when_a_window_is_read() -> None:
    minute(at(0), attempts=1)
    minute(at(1), attempts=2, delivered=2, duplicates=1)
    minute(at(2), shard=1, attempts=4, signature_refused=3)
    minute(at(3), attempts=8)
    minute(at(1), endpoint_id=2, tenant_id=7, attempts=16)
    minute(at(1), endpoint_id=3, attempts=32)
    found = sums.by_endpoint(at(1), at(3), exclude=[3])
    buckets = (0, 0, 0, 2, *[0] * (BUCKETS - 4))
    assert found == {
        1: EndpointSums(
            tenant_id=1,
            attempts=6,
            delivered=2,
            duplicates=1,
            signature_refused=3,
            latency_ms_sum=60.0,
            latency_buckets=buckets,
        ),
        2: EndpointSums(tenant_id=7, attempts=16),
    }


@pytest.mark.parametrize(
    ("since", "until", "attempts"),
    [
        (EPOCH, FOREVER, 0b111111),
        (at(0), at(60), 0b000111),  # the hour is kept
        (at(0), at(59), 0b000011),  # its last minute is not meant
        (at(1), at(60), 0b000110),
        (at(1), at(59), 0b000010),
        (at(60), at(180), 0b111000),  # not kept
        (at(59), at(121), 0b011100),
        (at(59), at(62), 0b001100),
        (at(10), at(20), 0),
        (at(0), at(0), 0),
    ],
)
def test_each_minute_is_counted_once_when_a_part_of_the_hours_is_kept(
    since: datetime, until: datetime, attempts: int
) -> None:
    for bit, place in enumerate((0, 1, 59, 61, 120, 179)):
        minute(at(place), attempts=1 << bit)
    hour(NINE, attempts=0b000111)
    assert sums.total(since, until) == Sums(attempts=attempts)


def test_forgotten_minutes_still_count_when_their_hour_is_kept() -> None:
    hour(NINE, attempts=5)
    hour(at(60), endpoint_id=2, tenant_id=7, attempts=3)
    minute(at(125), endpoint_id=2, tenant_id=7, attempts=1)
    assert sums.total(EPOCH, FOREVER).attempts == 9
    assert sums.total(EPOCH, FOREVER, tenant_id=7).attempts == 4
    assert sums.by_tenant(EPOCH, FOREVER) == {1: Sums(attempts=5), 7: Sums(attempts=4)}
    assert sums.total_by_endpoint(at(60), FOREVER) == {2: EndpointSums(tenant_id=7, attempts=4)}


def test_the_sums_are_the_tenants_own_when_a_request_reads_them() -> None:
    hour(NINE, attempts=5)  # of tenant 1, kept beyond what tenant 7 has
    minute(at(-30), endpoint_id=2, tenant_id=7, attempts=2)
    hour(at(-60), endpoint_id=2, tenant_id=7, attempts=2)
    minute(at(70), endpoint_id=2, tenant_id=7, attempts=1)
    with scoped({7}):
        assert sums.total(EPOCH, FOREVER).attempts == 3
        assert list(sums.by_endpoint(EPOCH, FOREVER)) == [2]


def test_nothing_is_zero_when_nothing_was_counted() -> None:
    assert sums.total(EPOCH, FOREVER) == Sums()
    assert sums.by_tenant(EPOCH, FOREVER) == {}
    assert not DeliveryCounter.objects.exists()


def test_refused_publishes_are_told_by_tenant_and_reason_when_a_window_is_read() -> None:
    for place, tenant_id, reason, shard, count in (
        (0, 7, "stale", 0, 1),
        (1, 7, "stale", 0, 2),
        (1, 7, "stale", 1, 4),
        (1, 7, "wrong_signature", 0, 8),
        (1, 0, "unknown_key", 0, 16),
        (2, 7, "stale", 0, 32),
    ):
        PublishRefusalCounter.objects.create(
            minute=at(place), tenant_id=tenant_id, reason=reason, shard=shard, count=count
        )
    assert sums.publish_refusals(at(1), at(2)) == {7: {"stale": 6, "wrong_signature": 8}, 0: {"unknown_key": 16}}
