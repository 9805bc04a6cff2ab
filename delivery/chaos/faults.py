"""What goes wrong in a chaos run. A fault begins, lasts, and ends; then everything has to come right by itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from delivery.chaos.stage import WORKERS, Stage

Step = Callable[[Stage], object]

KILLED_FOR_S = 1.0  # a supervisor needs about so long to start a process again
REDIS_AWAY_S = 5.0
KAFKA_AWAY_S = 10.0  # the scenario of the acceptance test
POSTGRES_AWAY_S = 1.0
RECEIVER_FAULT_S = 6.0
# The faulty receivers are never quite well: between faults so many of their answers are bad.
USUAL_ACTS = ("fail", "throttle", "reset")
USUAL_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Fault:
    """`begin` and `end` return when it has begun and ended; it lasts for `lasts_s` in between."""

    name: str
    begin: Step
    end: Step
    lasts_s: float


def _nothing(_: Stage) -> None:
    return None


def kill(part: str) -> Fault:
    """SIGKILL one process of ours; it is started again."""
    return Fault(
        f"kill {part}",
        lambda stage: stage.fleet.parts[part].kill(),
        lambda stage: stage.fleet.start_again(part),
        KILLED_FOR_S,
    )


def stop(service: str, lasts_s: float) -> Fault:
    return Fault(
        f"stop {service}",
        lambda stage: stage.control.stop(service),
        lambda stage: stage.control.start(service),
        lasts_s,
    )


def crash(service: str, lasts_s: float) -> Fault:
    return Fault(
        f"crash {service}",
        lambda stage: stage.control.crash(service),
        lambda stage: stage.control.start(service),
        lasts_s,
    )


def receivers(name: str, acts: Sequence[str], share: float = 1.0, lasts_s: float = RECEIVER_FAULT_S) -> Fault:
    """The faulty receivers do nothing but `acts`."""
    return Fault(
        f"receivers {name}",
        lambda stage: stage.faulty.set_mood(acts, share),
        lambda stage: stage.faulty.set_mood(USUAL_ACTS, USUAL_SHARE),
        lasts_s,
    )


FLUSH = Fault("flush redis", Stage.flush_redis, _nothing, 0.0)
PROCESSES = ("web", "relay", "consumer", "sweep", *WORKERS)
FAULTS: tuple[Fault, ...] = (
    *(kill(part) for part in PROCESSES),
    FLUSH,
    stop("redis", REDIS_AWAY_S),
    stop("kafka", KAFKA_AWAY_S),
    crash("postgres", POSTGRES_AWAY_S),
    receivers("send 2 GB", ["flood"]),
    receivers("send a byte a second", ["drip"]),
    receivers("refuse", ["refuse"]),
    receivers("reset", ["reset"]),
    receivers("time out", ["hang"]),
    receivers("redirect to a private address", ["redirect"]),
    receivers("answer 500 or 429", ["fail", "throttle"], share=0.8),
)
# One of each family, and nothing that lasts: for a run of a minute.
SHORT_FAULTS: tuple[Fault, ...] = (
    kill("worker1"),
    kill("consumer"),
    FLUSH,
    crash("postgres", POSTGRES_AWAY_S),
    receivers("do all of it", ["flood", "drip", "reset", "hang", "redirect", "fail", "throttle"], lasts_s=3.0),
    stop("kafka", 2.0),
    kill("web"),
)


def deck(faults: Sequence[Fault], dice: random.Random) -> Iterator[Fault]:
    """Endless, by chance, and each as often as the others: the faults are shuffled and dealt, again and again."""
    while True:
        yield from dice.sample(faults, len(faults))
