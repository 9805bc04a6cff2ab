from __future__ import annotations

import pytest

from delivery.bench import counting
from delivery.models import Attempt, DeliveryCounter

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("counted", "rows"), [("all", 3), ("no refusals", 3), ("nothing", 0)])
def test_group_is_recorded_with_and_without_counting(counted: str, rows: int) -> None:
    theirs_s, ours_s = counting.record_group(counted, endpoints=3, group=6)
    assert 0 < theirs_s < 1
    assert 0 < ours_s < 1
    assert Attempt.objects.count() == 6
    assert DeliveryCounter.objects.count() == rows


def test_each_statement_has_its_cost() -> None:
    cost = counting.measure(endpoints=2, groups=2, group=4)
    assert set(cost.postgres_us) == set(cost.worker_us) == {"all", "no refusals", "nothing"}
    assert "counting nothing" in counting.as_text([cost])
