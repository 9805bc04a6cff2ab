"""Partitions by day: what is there, what is missing, what goes next."""

from __future__ import annotations

from datetime import date, timedelta

from delivery.system.tables import DAY, Days, Part, days_of
from eventcenter.partitions import DAYS_AHEAD

TODAY = date(2026, 3, 10)


def table(*days: date, strays: int = 0) -> Days:
    parts = [Part("t", f"t_{day:%Y%m%d}", 10, 100) for day in days]
    return days_of("t", 5, [*parts, Part("t", "t_default", strays, 1)], TODAY)


def ahead(first: date, *without: date) -> list[date]:
    count = (TODAY - first).days + DAYS_AHEAD + 1
    return [day for day in (first + timedelta(days=number) for number in range(count)) if day not in without]


def test_nothing_is_wrong_when_all_days_are_there() -> None:
    found = table(*ahead(TODAY - 3 * DAY))
    assert (found.problem, found.gaps, found.count) == ("", (), DAYS_AHEAD + 4)
    assert (found.rows, found.bytes) == (10 * found.count, 100 * found.count + 1)
    assert found.drops_next == (TODAY - 3 * DAY, TODAY + 3 * DAY)


def test_missing_day_is_named_when_rows_would_come_for_it() -> None:
    found = table(*ahead(TODAY - 3 * DAY, TODAY + DAY))
    assert "No partition for 2026-03-11" in found.problem
    assert "2026-03-10" in table().problem


def test_days_that_run_out_are_told_when_the_next_are_there() -> None:
    found = table(*ahead(TODAY - DAY)[:-2])
    assert "Only ready up to 2026-03-15" in found.problem


def test_strays_are_told_when_the_default_partition_has_rows() -> None:
    assert "default partition" in table(*ahead(TODAY), strays=2).problem
