"""The path of an event, stage by stage, and where it is stuck. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from delivery.console.wording import span_words

# An event is with its subscriber within 5 s (the scenario): what waits for twice that anywhere is late, and for a minute stuck.
LATE_S: Final = 10.0
STUCK_S: Final = 60.0
LAG_MANY: Final = 5_000  # messages: ten batches of the consumer


class Tone(StrEnum):
    GOOD = "good"
    WARN = "warn"  # slow, or on the way to being stuck
    BAD = "bad"  # stuck
    MUTE = "mute"  # not known


WORDS: Final = {Tone.GOOD: "Moving", Tone.WARN: "Slow", Tone.BAD: "Stuck", Tone.MUTE: "Not known"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at this moment. `lag`, `coming` and `taken` (a second) are None while Kafka is away or not sampled yet;
    `queued` is None while Redis is away. `silent`: roles that should run and do not. `late_leases`: dispatches whose lease
    is over, longer than the sweep takes to find them."""

    accepted_a_minute: float
    delivered_a_minute: float
    outbox_depth: int
    outbox_age_s: float
    lag: int | None
    coming: float | None
    taken: float | None
    kafka_error: str
    oldest_due_s: float
    open_dispatches: int
    late_leases: int
    queued: int | None
    redis_error: str
    in_flight: int
    held: int
    breakers_open: int
    silent: Collection[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Stage:
    """`why`: what is wrong, "" where nothing is."""

    name: str
    figure: str
    unit: str
    tone: Tone
    why: str = ""

    @property
    def words(self) -> str:
        return WORDS[self.tone]


def stages(facts: Facts) -> list[Stage]:
    """In the order of the path."""
    return [
        Stage("Publish", f"{facts.accepted_a_minute:,.0f}", "events a minute", Tone.GOOD),
        _outbox(facts),
        _kafka(facts),
        _consumer(facts),
        _dispatch(facts),
        _worker(facts),
        _receivers(facts),
    ]


def sentence(path: Sequence[Stage]) -> tuple[Tone, str]:
    """The first stage that is stuck, else the first that is slow, else that all is well."""
    for tone, verb in ((Tone.BAD, "Stuck"), (Tone.WARN, "Slow")):
        found = next((stage for stage in path if stage.tone is tone), None)
        if found is not None:
            return tone, f"{verb} at {found.name}: {found.why}"
    return Tone.GOOD, "Every stage moves: what is published is on its way to its subscribers."


def _outbox(facts: Facts) -> Stage:
    figure = (f"{facts.outbox_depth:,}", "in the outbox")
    old = f"its oldest event waits for {span_words(facts.outbox_age_s)}"
    if facts.outbox_age_s < LATE_S:
        return Stage("Outbox", *figure, Tone.GOOD)
    if facts.kafka_error:
        return Stage("Outbox", *figure, Tone.WARN, f"{old}, since Kafka is away.")
    if "relay" in facts.silent:
        return Stage("Outbox", *figure, Tone.BAD, f"{old}, and no relay runs that would send it.")
    return Stage("Outbox", *figure, Tone.BAD if facts.outbox_age_s >= STUCK_S else Tone.WARN, f"{old}.")


def _kafka(facts: Facts) -> Stage:
    if facts.kafka_error:
        why = f"Kafka is away ({facts.kafka_error}). Events are kept in the outbox."
        return Stage("Kafka", "away", "", Tone.BAD, why)
    coming = "–" if facts.coming is None else f"{facts.coming:,.1f}"
    return Stage("Kafka", coming, "messages a second", Tone.GOOD)


def _consumer(facts: Facts) -> Stage:
    if facts.lag is None:
        silent = "consumer" in facts.silent
        why = "no consumer runs." if silent else "its lag is not known while Kafka is away."
        return Stage("Consumer", "–", "behind", Tone.BAD if silent else Tone.MUTE, why)
    figure, behind = (f"{facts.lag:,}", "messages behind"), f"{facts.lag:,} messages wait in Kafka"
    if "consumer" in facts.silent:
        return Stage("Consumer", *figure, Tone.BAD, f"{behind}, and no consumer runs that would take them.")
    if facts.lag and facts.taken == 0:
        return Stage("Consumer", *figure, Tone.BAD, f"{behind}, and none is taken.")
    if facts.lag > LAG_MANY:
        return Stage("Consumer", *figure, Tone.WARN, f"{behind}.")
    return Stage("Consumer", *figure, Tone.GOOD)


def _dispatch(facts: Facts) -> Stage:
    figure = (f"{facts.open_dispatches:,}", "open batches")
    old = f"a delivery has been due for {span_words(facts.oldest_due_s)}"
    if "sweep" in facts.silent:
        return Stage("Dispatch", *figure, Tone.BAD, "no sweep runs: retries, and what is lost, stay where they are.")
    if facts.oldest_due_s >= STUCK_S and "worker" not in facts.silent:
        return Stage("Dispatch", *figure, Tone.BAD, f"{old}.")
    if facts.oldest_due_s >= LATE_S:
        return Stage("Dispatch", *figure, Tone.WARN, f"{old}.")
    if facts.late_leases:
        return Stage("Dispatch", *figure, Tone.WARN, f"{facts.late_leases:,} batches were let go by their workers.")
    return Stage("Dispatch", *figure, Tone.GOOD)


def _worker(facts: Facts) -> Stage:
    figure = (f"{facts.in_flight:,}", "being sent")
    if "worker" in facts.silent:
        waiting = f"; a delivery has been due for {span_words(facts.oldest_due_s)}" if facts.oldest_due_s >= 1 else ""
        return Stage("Worker", *figure, Tone.BAD, f"no worker runs that would send{waiting}.")
    if facts.queued is None:
        return Stage(
            "Worker", *figure, Tone.BAD, f"Redis is away ({facts.redis_error}): no worker is told what to send."
        )
    return Stage("Worker", *figure, Tone.GOOD)


def _receivers(facts: Facts) -> Stage:
    figure = (f"{facts.delivered_a_minute:,.0f}", "delivered a minute")
    if facts.breakers_open:
        held = f", and {facts.held:,} deliveries are held" if facts.held else ""
        many = f"{facts.breakers_open:,} endpoint{'s' if facts.breakers_open > 1 else ''}"
        return Stage("Receiver", *figure, Tone.WARN, f"it is them, not us: the breaker of {many} is open{held}.")
    return Stage("Receiver", *figure, Tone.GOOD)


def lanes(queued: Mapping[str, int], labels: Mapping[str, str]) -> list[tuple[str, int]]:
    """Label and depth of each lane, the fullest first."""
    return sorted(((labels[lane], depth) for lane, depth in queued.items()), key=lambda pair: -pair[1])
