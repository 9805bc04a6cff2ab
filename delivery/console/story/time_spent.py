"""Where a delivery's time went, as bars in two lanes: ours above, the receiver's below, and what waited between. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from delivery.console.story.ahead import ended_at
from delivery.console.story.facts import Facts
from delivery.console.wording import duration_words
from delivery.models import Attempt

WIDTH = 1000
LEAST_WIDTH = 5
# More pieces than this would leave no room for any: what is left out is one wait.
PIECES_MOST = 120


class Part(StrEnum):
    BUS = "bus"
    QUEUE = "queue"
    RECEIVER = "receiver"
    WAIT = "wait"
    HELD = "held"
    REST = "rest"


PART_WORDS = {
    Part.BUS: "on the bus",
    Part.QUEUE: "in our queues",
    Part.RECEIVER: "at the receiver",
    Part.WAIT: "between attempts",
    Part.HELD: "held",
    Part.REST: "ended, before a replay",
}
OURS = (Part.BUS, Part.QUEUE)


@dataclass(frozen=True, slots=True)
class Piece:
    part: Part
    seconds: float
    words: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece as it is drawn: from `x`, `width` wide, of WIDTH."""

    part: Part
    x: int
    width: int
    words: str


@dataclass(frozen=True, slots=True)
class Spent:
    """`totals`: (part, its name, how long), in the order of PART_WORDS, without those that took no time."""

    bars: list[Bar]
    totals: list[tuple[Part, str, str]]
    whole: str
    ours: str
    theirs: str


def spent_of(facts: Facts) -> Spent:
    pieces = [piece for piece in _pieces(facts) if piece.seconds > 0][-PIECES_MOST:]
    sums = {part: sum(piece.seconds for piece in pieces if piece.part is part) for part in Part}
    totals = [(part, words, _words(sums[part])) for part, words in PART_WORDS.items() if sums[part] > 0]
    ours = sum(sums[part] for part in OURS)
    return Spent(_bars(pieces), totals, _words(sum(sums.values())), _words(ours), _words(sums[Part.RECEIVER]))


def _bars(pieces: Sequence[Piece]) -> list[Bar]:
    """By their share of the time, and each wide enough to be seen."""
    whole = sum(piece.seconds for piece in pieces)
    room = WIDTH - LEAST_WIDTH * len(pieces)
    bars, x = [], 0.0
    for piece in pieces:
        width = LEAST_WIDTH + room * piece.seconds / whole
        left, right = round(x), round(x + width)
        bars.append(Bar(piece.part, left, right - left, f"{_words(piece.seconds)} {piece.words}"))
        x += width
    return bars


def _pieces(facts: Facts) -> Iterator[Piece]:
    """From the acceptance to the end, or to now."""
    delivery = facts.delivery
    at = delivery.event.ingested_at
    yield _piece(Part.BUS, delivery.planned_at, at)
    before: Attempt | None = None
    for tried in facts.tried:
        attempt = tried.row
        yield from _gap(facts, before, at, attempt.started_at)
        at = max(ended_at(attempt), at)
        yield Piece(Part.RECEIVER, attempt.duration_ms / 1000, f"at the receiver, attempt {attempt.number}")
        before = attempt
    if facts.is_open:
        yield from _until_now(facts, before, at)
    elif before is not None and delivery.finished_at is not None:
        yield Piece(Part.QUEUE, max((delivery.finished_at - at).total_seconds(), 0.0), "until it was recorded")


def _gap(facts: Facts, before: Attempt | None, start: datetime, end: datetime) -> Iterator[Piece]:
    """Before an attempt: of a round's first one the queue, of another the schedule's wait."""
    restart = _restart(facts, start, end)
    if restart is not None:
        yield _piece(Part.REST, start, restart)
        yield _piece(Part.QUEUE, restart, end)
    elif before is None and not facts.left_out:
        yield _piece(Part.QUEUE, start, end)
    else:
        yield _piece(Part.WAIT, start, end)


def _until_now(facts: Facts, before: Attempt | None, start: datetime) -> Iterator[Piece]:
    now, next_at = facts.now, facts.delivery.next_attempt_at
    restart = _restart(facts, start, now)
    if restart is not None:
        yield _piece(Part.REST, start, restart)
        start, before = restart, None
    if facts.delivery.held_reason:
        yield _piece(Part.HELD, start, now)
        return
    due = min(max(next_at or start, start), now) if before is not None else start
    yield _piece(Part.WAIT, start, due)
    yield _piece(Part.QUEUE, due, now)


def _restart(facts: Facts, start: datetime, end: datetime) -> datetime | None:
    """The last replay, if it lies between the two. Of earlier ones the trail alone may know."""
    known = [
        entry.at for entry in facts.entries_of(f"delivery:{facts.delivery.pk}") if entry.action == "delivery.replayed"
    ]
    moments = [*known, facts.delivery.round_at] if facts.delivery.replays else []
    return next((moment for moment in moments if start - _SLACK <= moment <= end), None)


# A replay is written to the trail and to the delivery in one transaction, not in one moment.
_SLACK = timedelta(milliseconds=1)


def _piece(part: Part, start: datetime, end: datetime) -> Piece:
    return Piece(part, max((end - start).total_seconds(), 0.0), PART_WORDS[part])


def _words(seconds: float) -> str:
    return duration_words(seconds * 1000)
