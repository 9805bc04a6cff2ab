"""Charts: series of values over time → geometry and words. Pure; templates/console/_chart.html draws what comes out.

Heights are pixels of a fixed frame; widths are parts of WIDTH, which the page stretches to whatever room there is, so that
words keep their size. Without colour the series differ by their dashes and by their names at the lines' ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from delivery.console.scales import Scale, Unit, hour_ticks, scale_of, tick_words, words_of

WIDTH, HEIGHT = 1000, 132  # of the plot
PLOT_PERCENT = 84  # of the picture's width; the rest is for the names at the lines' ends
LABEL_GAP = 13.0  # between the names at the lines' ends, in pixels
FAR = 3  # a target that many times above everything is told, not drawn

Values = Sequence[float | None]


class Shape(Enum):
    LINE = "line"
    AREA = "area"  # the first series filled to its foot
    BAR = "bar"  # the series on top of one another


@dataclass(frozen=True, slots=True)
class Series:
    """A value for each step; None: there is none, which is a gap. `name` is short: it stands at the line's end."""

    name: str
    values: Values


@dataclass(frozen=True, slots=True)
class Target:
    value: float
    words: str


@dataclass(frozen=True, slots=True)
class Plot:
    """What is to be drawn: one to four series over the same steps. `key` makes the ids of its elements.

    `low`: the foot of the scale; None: as the values need it.
    """

    key: str
    title: str
    starts: Sequence[datetime]
    step: timedelta
    series: Sequence[Series]
    unit: Unit
    shape: Shape = Shape.LINE
    target: Target | None = None
    low: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Tick:
    """`at`: a height in pixels, or a width in parts of WIDTH. `anchor` as SVG's text-anchor."""

    at: float
    words: str
    anchor: str = "middle"

    @property
    def across(self) -> str:
        """A width as a part of the whole picture's."""
        return f"{self.at * PLOT_PERCENT / WIDTH:.2f}%"


@dataclass(frozen=True, slots=True)
class Line:
    """A series as it is drawn: `path` of its line, `area` below it or "". `end` is the height of its name, None without one."""

    place: int  # 1 to 4
    name: str
    latest: str
    path: str
    area: str
    end: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    place: int
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class Column:
    """A step: where a pointer finds it, when it begins, and its words. `cells` are the words of each series."""

    x: str
    width: str
    middle: str
    when: str
    words: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """`is_empty`: not one value. `target_at` None: there is no target, or it is too far above to be drawn."""

    key: str
    title: str
    summary: str
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    bars: tuple[Bar, ...]
    columns: tuple[Column, ...]
    target_at: float | None
    target_words: str
    is_empty: bool
    shape: str

    @property
    def frame(self) -> str:
        """The plot's viewBox."""
        return f"0 0 {WIDTH} {HEIGHT}"


def chart(plot: Plot) -> Chart:
    scale = _scale(plot)
    bars = tuple(_bars(plot, scale)) if plot.shape is Shape.BAR else ()
    target = plot.target
    drawn = target is not None and scale.low <= target.value <= scale.high
    return Chart(
        key=plot.key,
        title=plot.title,
        summary=summary(plot),
        y_ticks=tuple(Tick(_y(value, scale), tick_words(value, plot.unit)) for value in scale.ticks),
        x_ticks=tuple(_x_ticks(plot)),
        lines=tuple(_lines(plot, scale)),
        bars=bars,
        columns=tuple(_columns(plot)),
        target_at=_y(target.value, scale) if target is not None and drawn else None,
        target_words=target.words if target else "",
        is_empty=not _known(plot),
        shape=plot.shape.value,
    )


def summary(plot: Plot) -> str:
    """One sentence that says what the picture shows."""
    parts = [_extremes(series, plot) for series in plot.series]
    target = f" The target is {plot.target.words}." if plot.target else ""
    if not _known(plot):
        return f"{plot.title}: nothing was counted.{target}"
    return f"{plot.title}: {'; '.join(part for part in parts if part)}.{target}"


def _extremes(series: Series, plot: Plot) -> str:
    known = [(value, at) for value, at in zip(series.values, plot.starts, strict=True) if value is not None]
    if not known:
        return ""
    (least, at_least), (most, at_most) = min(known), max(known)
    latest = words_of(known[-1][0], plot.unit)
    if least == most:
        return f"{series.name} {latest} throughout"
    return (
        f"{series.name} {latest} at the end, between {words_of(least, plot.unit)} ({_at(at_least, plot)})"
        f" and {words_of(most, plot.unit)} ({_at(at_most, plot)})"
    )


def _known(plot: Plot) -> list[float]:
    """The values that the scale has to hold."""
    if plot.shape is Shape.BAR:
        stacks = zip(*(series.values for series in plot.series), strict=True)
        return [sum(value or 0 for value in stack) for stack in stacks if any(value is not None for value in stack)]
    return [value for series in plot.series for value in series.values if value is not None]


def _scale(plot: Plot) -> Scale:
    known = _known(plot)
    target = plot.target
    if target is not None and (not known or target.value <= FAR * max(known)):
        known = [*known, target.value]
    return scale_of(known, plot.unit, plot.low)


def _y(value: float, scale: Scale) -> float:
    share = (value - scale.low) / (scale.high - scale.low)
    return round(HEIGHT * (1 - share), 1)


def _x(place: float, plot: Plot) -> float:
    return round(WIDTH * place / max(len(plot.starts), 1), 2)


def _x_ticks(plot: Plot) -> Iterator[Tick]:
    if not plot.starts:
        return
    first = plot.starts[0]
    for at, words in hour_ticks(first, first + plot.step * len(plot.starts)):
        x = _x((at - first) / plot.step, plot)
        anchor = "start" if x < WIDTH * 0.04 else "end" if x > WIDTH * 0.96 else "middle"
        yield Tick(x, words, anchor)


def _lines(plot: Plot, scale: Scale) -> Iterator[Line]:
    ends = _apart([_end(series.values, scale) for series in plot.series])
    for place, series in enumerate(plot.series, start=1):
        latest = next((value for value in reversed(series.values) if value is not None), None)
        runs = [] if plot.shape is Shape.BAR else list(_runs(series.values, plot, scale))
        filled = plot.shape is Shape.AREA and place == 1
        yield Line(
            place=place,
            name=series.name,
            latest="–" if latest is None else words_of(latest, plot.unit),
            path=" ".join(_path(run) for run in runs),
            area=" ".join(f"{_path(run)} V{HEIGHT} H{run[0][0]} Z" for run in runs) if filled else "",
            end=None if plot.shape is Shape.BAR else ends[place - 1],
        )


def _runs(values: Values, plot: Plot, scale: Scale) -> Iterator[list[tuple[float, float]]]:
    """The points between the gaps, each in the middle of its step."""
    points = [(_x(place + 0.5, plot), value) for place, value in enumerate(values)]
    for is_gap, run in itertools.groupby(points, key=lambda point: point[1] is None):
        if not is_gap:
            yield [(x, _y(value, scale)) for x, value in run if value is not None]


def _path(run: list[tuple[float, float]]) -> str:
    """One point alone is a line of no length, which round ends make a dot."""
    (x, y), *others = run
    return f"M{x} {y}" + ("".join(f" L{x} {y}" for x, y in others) or " h0")


def _end(values: Values, scale: Scale) -> float | None:
    latest = next((value for value in reversed(values) if value is not None), None)
    return None if latest is None else _y(latest, scale)


def _apart(ends: list[float | None]) -> list[float | None]:
    """The same heights in the same order, moved until none covers another, within the plot where there is room."""
    order = sorted((end, place) for place, end in enumerate(ends) if end is not None)
    moved = list(ends)
    floor = float("-inf")
    for end, place in order:
        floor = max(end, floor + LABEL_GAP)
        moved[place] = floor
    ceiling = float(HEIGHT)
    for _, place in reversed(order):
        ceiling = min(moved[place] or 0.0, ceiling)
        moved[place] = round(ceiling, 1)
        ceiling -= LABEL_GAP
    return moved


def _bars(plot: Plot, scale: Scale) -> Iterator[Bar]:
    width = _x(1, plot)
    gap = min(width / 5, 4.0)
    for column, stack in enumerate(zip(*(series.values for series in plot.series), strict=True)):
        foot = 0.0
        for place, value in enumerate(stack, start=1):
            if value:
                top, bottom = _y(foot + value, scale), _y(foot, scale)
                x, tall = _x(column, plot) + gap / 2, max(bottom - top, 1.5)
                yield Bar(place, f"{x:.2f}", f"{bottom - tall:.1f}", f"{width - gap:.2f}", f"{tall:.1f}")
                foot += value


def _columns(plot: Plot) -> Iterator[Column]:
    """Named by when they begin, each with the words of all series."""
    width = f"{_x(1, plot)}"
    for place, start in enumerate(plot.starts):
        values = [series.values[place] for series in plot.series]
        cells = tuple("–" if value is None else words_of(value, plot.unit) for value in values)
        said = ", ".join(f"{series.name} {cell}" for series, cell in zip(plot.series, cells, strict=True))
        if all(value is None for value in values):
            said = "nothing counted"
        middle = f"{_x(place + 0.5, plot)}"
        when = _at(start, plot)
        yield Column(f"{_x(place, plot)}", width, middle, when, f"{when} UTC: {said}", cells)


def _at(start: datetime, plot: Plot) -> str:
    """When a step is, as short as the span allows."""
    is_short = plot.step * len(plot.starts) <= timedelta(hours=26)
    return f"{start:%H:%M}" if is_short else f"{start:%m-%d %H:%M}"
