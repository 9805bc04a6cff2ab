"""The timeline of a delivery, from publish to receipt: what happened, when, and how long after what came before. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from delivery.console.story.ahead import ended_at, retry_after_of, wait_words
from delivery.console.story.facts import Facts, Tried
from delivery.console.wording import dead_words, duration_words
from delivery.models import Attempt
from delivery.states import DeliveryStatus

HEADERS_MOST = 40
# The trail's entry and the row of one replay are a few milliseconds apart.
SAME_MOMENT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's answer, readable. `cut`: the body goes on beyond the excerpt."""

    headers: list[tuple[str, str]]
    body: str
    size: int
    cut: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One point of the timeline. `kind` picks what the template adds to the words. `at` None: its moment is not known.

    `after`: how long after the step before it; `why`: what that time was waited for.
    """

    at: datetime | None
    kind: str
    what: str
    detail: str = ""
    tone: str = "mute"
    attempt: Attempt | None = None
    answer: Answer | None = None
    after: str = ""
    why: str = ""

    @property
    def ends_at(self) -> datetime | None:
        return ended_at(self.attempt) if self.attempt is not None else self.at


def timeline(facts: Facts, topic: str) -> list[Step]:
    """Oldest first. `topic`: of the bus."""
    later = [*_attempts(facts), *_rounds(facts), *_ends(facts)]
    # Of one moment the attempt comes first, and what it made of the delivery after it.
    later.sort(key=lambda step: (step.ends_at or facts.now, step.attempt is None))
    return _timed([*_beginning(facts, topic), *later])


def _beginning(facts: Facts, topic: str) -> Iterator[Step]:
    event, accepted_at = facts.delivery.event, facts.delivery.planned_at
    if event.time is not None and event.time < accepted_at - timedelta(milliseconds=1):
        yield Step(event.time, "published", "Happened", "by the producer’s clock: the event’s own time")
    ahead = (event.time - accepted_at).total_seconds() if event.time else 0.0
    skew = f"; its own time is {duration_words(ahead * 1000)} later: the producer’s clock is ahead" if ahead > 1 else ""
    yield Step(accepted_at, "accepted", "Accepted", f"from {event.source}, as {event.producer_id}{skew}")
    place = f"topic {topic}, partition {event.kafka_partition}, offset {event.kafka_offset}"
    yield Step(None, "bus", "On the bus", place)
    yield Step(event.ingested_at, "planned", "Read from the bus and planned")


def _attempts(facts: Facts) -> Iterator[Step]:
    place, before = 0, None
    for tried in facts.tried:
        attempt = tried.row
        again = before is not None and not _between(facts, before, attempt)
        place = place + 1 if again else 0
        why = _why(facts, before, attempt, place) if before is not None and again and not facts.left_out else ""
        yield Step(attempt.started_at, "attempt", "", attempt=attempt, answer=_answer(tried), why=why)
        before = attempt


def _between(facts: Facts, before: Attempt, attempt: Attempt) -> bool:
    """Whether a replay lies between the two: the first attempt of a round follows no schedule."""
    if attempt.replay and not before.replay:
        return True
    return any(ended_at(before) <= moment <= attempt.started_at for moment, _ in replays_of(facts))


def _why(facts: Facts, before: Attempt, attempt: Attempt, place: int) -> str:
    waited_s = (attempt.started_at - ended_at(before)).total_seconds()
    return wait_words(facts.policy, place, waited_s, retry_after_of(before))


def replays_of(facts: Facts) -> list[tuple[datetime, str]]:
    """(when, by whom), oldest first; "" when it was part of a replay of many: the trail names that one's starter."""
    entries = facts.entries_of(f"delivery:{facts.delivery.pk}")
    known = [(entry.at, entry.actor) for entry in entries if entry.action == "delivery.replayed"]
    last = facts.delivery.round_at
    if len(known) < facts.delivery.replays and all(abs(at - last) > SAME_MOMENT for at, _ in known):
        known.append((last, ""))
    return sorted(known)


def _rounds(facts: Facts) -> Iterator[Step]:
    for at in facts.delivery.earlier_deaths or ():
        yield Step(at, "dead", "Dead", "an earlier round ended", "bad")
    replays = replays_of(facts)
    for at, actor in replays:
        by = f" by {_person(actor)}" if actor else " in a replay of many"
        more = f"; replayed {facts.delivery.replays} times in all" if facts.delivery.replays > len(replays) else ""
        yield Step(at, "replayed", f"Replayed{by}", f"a new round with a fresh schedule{more}", "info")


def _ends(facts: Facts) -> Iterator[Step]:
    delivery = facts.delivery
    entries = facts.entries_of(f"delivery:{delivery.pk}")
    if delivery.status == DeliveryStatus.DEAD and delivery.dead_at is not None:
        yield Step(delivery.dead_at, "dead", "Dead", dead_words(delivery.dead_reason), "bad")
    if delivery.status == DeliveryStatus.CANCELLED:
        by = next((entry.actor for entry in reversed(entries) if entry.action == "delivery.cancelled"), "")
        at = delivery.cancelled_at or delivery.finished_at
        yield Step(at, "cancelled", f"Cancelled by {_person(by)}" if by else "Cancelled", "by hand, before it ended")
    for entry in entries:
        if entry.action == "delivery.passed_over":
            yield Step(
                entry.at, "passed", f"Passed over by {_person(entry.actor)}", "the next of its key went on", "info"
            )
    if delivery.status == DeliveryStatus.DELIVERED and delivery.finished_at is not None:
        took = duration_words((delivery.finished_at - delivery.planned_at).total_seconds() * 1000)
        yield Step(delivery.finished_at, "delivered", "Delivered", f"{took} after it was accepted", "good")


def _timed(steps: Sequence[Step]) -> list[Step]:
    timed: list[Step] = []
    before: datetime | None = None
    for step in steps:
        passed = step.at - before if step.at is not None and before is not None else None
        if passed is not None and passed >= timedelta(0):
            step = replace(step, after=duration_words(passed.total_seconds() * 1000))
        timed.append(step)
        before = step.ends_at or before
    return timed


def _answer(tried: Tried) -> Answer | None:
    headers = [(str(name), str(value)) for name, value in tried.row.response_headers][:HEADERS_MOST]
    if not tried.size and not headers:
        return None
    return Answer(headers, tried.excerpt.decode("utf-8", "replace"), tried.size, tried.size > len(tried.excerpt))


def _person(actor: str) -> str:
    return actor.removeprefix("user:")
