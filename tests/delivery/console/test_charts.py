from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.template.loader import render_to_string

from delivery.console.charts import HEIGHT, LABEL_GAP, WIDTH, Chart, Plot, Series, Shape, Target, Values, chart
from delivery.console.scales import Unit, hour_ticks, scale_of, tick_words, ticks_of, words_of

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def drawn(*values: Values, unit: Unit = Unit.COUNT, **more: Any) -> Chart:
    series = [Series("abcd"[place], each) for place, each in enumerate(values)]
    starts = [NINE + MINUTE * place for place in range(len(values[0]))]
    return chart(Plot("key", "Title", starts, MINUTE, series, unit, **more))


# --- ticks ---


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 1, False, (0, 0.25, 0.5, 0.75, 1)),
        (0, 1, True, (0, 1)),
        (0, 3, True, (0, 1, 2, 3)),
        (0, 9, True, (0, 3, 6, 9)),
        (0, 10, False, (0, 2.5, 5, 7.5, 10)),
        (0, 97, False, (0, 25, 50, 75, 100)),
        (0.9, 1.0, False, (0.9, 0.925, 0.95, 0.975, 1.0)),
        (0.968, 1.0, False, (0.96, 0.97, 0.98, 0.99, 1.0)),
        (0, 5e15, False, (0, 2e15, 4e15, 6e15)),
        (0, 0.0004, False, (0, 0.0001, 0.0002, 0.0003, 0.0004)),
        (-3, 5, False, (-4, -2, 0, 2, 4, 6)),
    ],
)
def test_ticks_are_round_and_hold_both_ends(low: float, high: float, whole: bool, expected: Sequence[float]) -> None:
    assert ticks_of(low, high, whole) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("values", [[], [0.0], [0.5], [1.0], [0.0, 1.0], [0.2, 0.2000000001], [0.97, 0.5, 1.0]])
@pytest.mark.parametrize("low", [None, 0.0])
def test_scale_holds_all_values_and_has_a_height(unit: Unit, values: list[float], low: float | None) -> None:
    scale = scale_of(values, unit, low)
    assert scale.low < scale.high
    assert all(scale.low <= value <= scale.high + 1e-9 for value in values)
    assert len(scale.ticks) <= 6
    assert unit is not Unit.SHARE or scale.high <= 1.0


@pytest.mark.parametrize("value", [1.0, 7.0, 1e3, 123_456.0, 1e9, 9.9e17, 1e-6])
def test_scale_holds_what_is_huge_or_tiny(value: float) -> None:
    scale = scale_of([0.0, value], Unit.RATE)
    assert scale.high >= value
    assert scale.high <= value * 2.5
    assert len({tick_words(tick, Unit.RATE) for tick in scale.ticks}) == len(scale.ticks)


@pytest.mark.parametrize(
    ("value", "unit", "words", "tick"),
    [
        (0.96999, Unit.SHARE, "96.99 %", "96.999 %"),
        (0.97, Unit.SHARE, "97.00 %", "97 %"),
        (1.0, Unit.SHARE, "100.00 %", "100 %"),
        (0.29, Unit.SHARE, "29.00 %", "29 %"),
        (250.0, Unit.MS, "250 ms", "250 ms"),
        (2_500.0, Unit.MS, "2.50 s", "2.5 s"),
        (12_345.0, Unit.COUNT, "12,345", "12.345 k"),
        (2e6, Unit.COUNT, "2,000,000", "2 M"),
        (7.25, Unit.RATE, "7.2", "7.25"),
        (1234.5, Unit.RATE, "1,234", "1,234.5"),
        (0.0, Unit.RATE, "0", "0"),
    ],
)
def test_values_are_told_in_their_unit(value: float, unit: Unit, words: str, tick: str) -> None:
    assert (words_of(value, unit), tick_words(value, unit)) == (words, tick)


@pytest.mark.parametrize(
    ("since", "span", "expected"),
    [
        (NINE, timedelta(hours=1), ["09:00", "09:10", "09:20", "09:30", "09:40", "09:50"]),
        (NINE + 7 * MINUTE, timedelta(hours=1), ["09:10", "09:20", "09:30", "09:40", "09:50", "10:00"]),
        (NINE, timedelta(hours=24), ["12:00", "16:00", "20:00", "00:00", "04:00", "08:00"]),
        (NINE, timedelta(days=7), ["03-04", "03-06", "03-08"]),
        (NINE, timedelta(minutes=3), ["09:00", "09:01", "09:02"]),
        (NINE, timedelta(0), []),
    ],
)
def test_times_are_round_and_few(since: datetime, span: timedelta, expected: list[str]) -> None:
    assert [words for _, words in hour_ticks(since, since + span)] == expected


# --- lines ---


def test_line_goes_from_the_foot_to_the_top_of_its_scale() -> None:
    made = drawn([0, 2, 4])
    assert made.lines[0].path == f"M{WIDTH / 6:.2f} {HEIGHT}.0 L500.0 {HEIGHT / 2} L{WIDTH * 5 / 6:.2f} 0.0"
    assert [tick.words for tick in made.y_ticks] == ["0", "1", "2", "3", "4"]
    assert made.lines[0].latest == "4"


@pytest.mark.parametrize(
    ("values", "strokes", "points"),
    [
        ([1, 2, 3], 1, 3),
        ([1, None, 3], 2, 2),
        ([None, 2, None], 1, 1),
        ([1, 2, None, None, 5, 6], 2, 4),
        ([None, None], 0, 0),
        ([5], 1, 1),
    ],
)
def test_line_stops_where_nothing_was_counted(values: Values, strokes: int, points: int) -> None:
    made = drawn(values)
    path = made.lines[0].path
    assert (path.count("M"), path.count("M") + path.count("L")) == (strokes, points)
    assert made.is_empty is (points == 0)


def test_lone_point_is_a_dot() -> None:
    assert drawn([None, 2, None]).lines[0].path.endswith(" h0")


def test_first_series_is_filled_when_it_is_an_area() -> None:
    made = drawn([1, 2, None, 3], [1, 1, 1, 1], shape=Shape.AREA)
    assert made.lines[0].area.count("Z") == 2
    assert made.lines[1].area == ""


def test_line_lies_on_the_foot_when_all_is_zero() -> None:
    made = drawn([0, 0, 0])
    assert f" {HEIGHT}.0" in made.lines[0].path
    assert [tick.words for tick in made.y_ticks] == ["0", "1"]
    assert not made.is_empty


@pytest.mark.parametrize("lasts", [(5, 5, 5, 5), (0, 0, 0, 0), (9, 9, 0, 0), (1, 2, 3, 4), (4, 3, 9, 9)])
def test_names_at_the_ends_do_not_cover_each_other(lasts: tuple[int, ...]) -> None:
    ends = [line.end or 0.0 for line in drawn(*([9, last] for last in lasts)).lines]
    assert all(0 <= end <= HEIGHT for end in ends)
    assert all(abs(one - other) >= LABEL_GAP - 0.1 for one, other in itertools.combinations(ends, 2))
    for (one, above), (other, below) in itertools.permutations(zip(lasts, ends, strict=True), 2):
        assert one <= other or above < below, "who is higher stands higher"


# --- targets, bars, words ---


@pytest.mark.parametrize(("target", "is_drawn"), [(0.97, True), (5_000.0, False)])
def test_target_is_told_and_not_drawn_when_it_is_far_above(target: float, is_drawn: bool) -> None:
    made = drawn([0.9, 1.0], unit=Unit.RATE, target=Target(target, "≥ so much"))
    assert (made.target_at is not None, made.target_words) == (is_drawn, "≥ so much")
    assert "The target is ≥ so much." in made.summary


def test_bars_stand_on_one_another_and_end_below_the_top() -> None:
    made = drawn([1, 0, None], [3, 2, None], shape=Shape.BAR)
    assert [bar.place for bar in made.bars] == [1, 2, 2]
    low, high = made.bars[0], made.bars[1]
    assert float(high.y) + float(high.height) == pytest.approx(float(low.y))
    assert (float(high.y), float(low.y) + float(low.height)) == (0, HEIGHT)
    assert not any(line.path for line in made.lines)


def test_every_step_has_its_words() -> None:
    made = drawn([1, None, 1_000], [None, None, 2])
    assert [column.words for column in made.columns] == [
        "09:00 UTC: a 1, b –",
        "09:01 UTC: nothing counted",
        "09:02 UTC: a 1,000, b 2",
    ]
    assert made.columns[2].cells == ("1,000", "2")


@pytest.mark.parametrize(
    ("values", "summary"),
    [
        ([1, 9, 4], "Title: a 4 at the end, between 1 (09:00) and 9 (09:01)."),
        ([3, 3], "Title: a 3 throughout."),
        ([None], "Title: nothing was counted."),
        ([None, 7], "Title: a 7 throughout."),
    ],
)
def test_summary_says_in_a_sentence_what_the_picture_shows(values: Values, summary: str) -> None:
    assert drawn(values).summary == summary


class Parts(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("shape", Shape)
def test_picture_has_a_sentence_a_table_and_no_inline_style(shape: Shape) -> None:
    made = drawn([1, 2, None], [3, None, 5], shape=shape, target=Target(2, "≤ 2"))
    found = Parts(render_to_string("console/_chart.html", {"chart": made})).found
    pictures = [attrs for tag, attrs in found if tag == "svg" and attrs.get("role") == "img"]
    assert [attrs["aria-label"] for attrs in pictures] == [made.summary]
    assert sum(tag == "th" and attrs.get("scope") == "row" for tag, attrs in found) == 3
    assert sum(tag == "title" for tag, _ in found) == 3
    assert not [attrs for _, attrs in found if "style" in attrs or any(name.startswith("on") for name in attrs)]


def test_chart_says_so_when_it_has_no_numbers() -> None:
    page = render_to_string("console/_chart.html", {"chart": drawn([None, None])})
    assert "Nothing was counted in this time" in page
    assert "role=" not in page
