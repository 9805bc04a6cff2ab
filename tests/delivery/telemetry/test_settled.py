from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from delivery.models import DeliveryCounter
from delivery.telemetry import sums
from delivery.telemetry.settled import REMEMBERED_FOR, SETTLED_AFTER, Settled
from delivery.telemetry.sums import Sums
from tests.delivery.telemetry.counted import minute

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def totals() -> Settled[Sums]:
    return Settled(sums.total, lambda one, other: one + other)


def test_totals_do_not_count_twice_when_minutes_settle() -> None:
    known = totals()
    minute(START, delivered=1)
    assert known.read(START).delivered == 1
    later = START + SETTLED_AFTER + timedelta(minutes=5)
    assert known.read(later).delivered == 1
    minute(later, delivered=2)
    assert known.read(later).delivered == 3
    assert known.read(later + timedelta(days=1)).delivered == 3


def test_two_processes_read_the_same_whenever_they_began() -> None:
    first = totals()
    for place in range(4):
        now = START + timedelta(minutes=20 * place)
        minute(now, delivered=place + 1)
        assert first.read(now) == totals().read(now)


def test_settled_minutes_are_not_read_again() -> None:
    known = totals()
    minute(START, delivered=1)
    now = START + timedelta(minutes=30)
    assert known.read(now).delivered == 1
    DeliveryCounter.objects.all().delete()
    assert known.read(now + timedelta(minutes=1)).delivered == 1


def test_all_is_read_again_when_nobody_asked_for_long() -> None:
    known = totals()
    minute(START, delivered=1)
    now = START + timedelta(minutes=30)
    known.read(now)
    minute(START + timedelta(seconds=60), delivered=5)  # never happens; here it shows that the rows were read
    assert known.read(now).delivered == 1
    assert known.read(now + REMEMBERED_FOR).delivered == 6
