"""A chaos run: load, faults by chance, and the count at the end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from delivery.chaos.faults import USUAL_ACTS, USUAL_SHARE, Fault, deck
from delivery.chaos.load import FAULTY_EVERY, Load
from delivery.chaos.report import Result, Round, heading, row
from delivery.chaos.stage import HEALTHY_ENDPOINTS, Stage

POLL_S = 0.2
RECOVERY_LIMIT_S = 60.0
DRAIN_LIMIT_S = 180.0
CALM_S = (1.0, 3.0)  # between rounds
ACCEPT_WITHIN_S = 60.0
DELIVERIES_PER_EVENT = HEALTHY_ENDPOINTS + 1 / FAULTY_EVERY

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    deliveries: int  # at least
    rounds: int  # at least
    rate: float  # deliveries a second
    seed: int
    faults: Sequence[Fault]


class Chaos:
    """One run.

    Recovery of a round: from the moment the fault had ended (the process is started, the service answers, the receivers
    are told to behave) until every event that had been accepted by that moment has arrived at all its healthy receivers.
    Healthy receivers must not notice what the faulty ones do, so theirs is the time that counts for those faults too.
    """

    def __init__(self, stage: Stage, load: Load, plan: Plan, tell: Tell) -> None:
        self.stage = stage
        self.load = load
        self.plan = plan
        self.tell = tell
        self.rounds: list[Round] = []
        self.ended: list[str] = []  # processes that ended by themselves
        self._dice = random.Random(plan.seed)  # noqa: S311 - to be repeated, not to be secret

    def __call__(self) -> Result:
        started = time.monotonic()
        self.stage.faulty.set_mood(USUAL_ACTS, USUAL_SHARE)
        self.load.start()
        self.tell(heading())
        self._play_rounds()
        while self._owed() < self.plan.deliveries:
            time.sleep(POLL_S)
        self.stage.faulty.set_mood([], 0.0)
        self.load.finish(ACCEPT_WITHIN_S)
        self.tell(f"all {self._owed():,} accepted; waiting for the last to arrive")
        ended = time.monotonic()
        self._drain()
        return self._result(time.monotonic() - started, time.monotonic() - ended)

    def _play_rounds(self) -> None:
        faults = deck(self.plan.faults, self._dice)
        for number in range(1, self.plan.rounds + 1):
            time.sleep(self._dice.uniform(*CALM_S))
            self.rounds.append(self._round(number, next(faults)))
            self.tell(row(self.rounds[-1]))

    def _round(self, number: int, fault: Fault) -> Round:
        delivered, duplicates = self._counts()
        self.stage.healthy.window()
        began = time.monotonic()
        fault.begin(self.stage)
        time.sleep(fault.lasts_s)
        fault.end(self.stage)
        ended = time.monotonic()
        recovery_s = self._recovery_s(ended)
        self.ended += self.stage.revive()
        now_delivered, now_duplicates = self._counts()
        return Round(
            number,
            fault.name,
            round(ended - began, 2),
            recovery_s,
            now_delivered - delivered,
            now_duplicates - duplicates,
            self.stage.healthy.window(),
        )

    def _recovery_s(self, ended: float) -> float | None:
        promised = self.load.accepted_numbers()
        below = max(promised, default=-1) + 1
        while promised & self.stage.healthy.incomplete(below, HEALTHY_ENDPOINTS):
            if time.monotonic() - ended > RECOVERY_LIMIT_S:
                return None
            time.sleep(POLL_S)
        return round(time.monotonic() - ended, 2)

    def _counts(self) -> tuple[int, int]:
        """(distinct deliveries, repeats) that the receivers took so far."""
        both = [self.stage.healthy.stats(), self.stage.faulty.stats()]
        return sum(int(each["unique"]) for each in both), sum(int(each["duplicates"]) for each in both)

    def _owed(self) -> int:
        return self.load.count() * HEALTHY_ENDPOINTS + self.load.count(faulty=True)

    def _drain(self) -> None:
        ends_at = time.monotonic() + DRAIN_LIMIT_S
        while self._counts()[0] < self._owed() and time.monotonic() < ends_at:
            time.sleep(POLL_S)

    def _result(self, wall_s: float, drain_s: float) -> Result:
        delivered, duplicates = self._counts()
        healthy, faulty = self.stage.healthy.stats(), self.stage.faulty.stats()
        return Result(
            seed=self.plan.seed,
            events=self.load.count(),
            accepted=self._owed(),
            delivered=delivered,
            duplicates=duplicates,
            rounds=self.rounds,
            recovery_limit_s=RECOVERY_LIMIT_S,
            wall_s=wall_s,
            drain_s=drain_s,
            decoy_calls=int(faulty["decoy_calls"]) + int(healthy["decoy_calls"]),
            flooded_bytes_most=int(faulty["flooded_bytes_most"]),
            unanswered=self.load.unanswered,
            refused=self.load.refused,
            ended=self.ended,
            acted=faulty["acted"],
            doubled=[*healthy["doubled"], *faulty["doubled"]],
        )
