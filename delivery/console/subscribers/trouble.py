"""Whether something is wrong with an endpoint, and what the worst of it is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from delivery.counters import percentile_ms
from delivery.telemetry.sums import Sums

# The scenario's own threshold: more than 5 % of failures over 5 minutes; fewer results than that say little.
FAILING_SHARE = 0.05
FAILING_WINDOW = timedelta(minutes=5)
FAILING_LEAST = 20
GOOD_SHARE = 0.97  # the scenario's first objective


class Rank(IntEnum):
    """The worst first."""

    ENDED = 0  # the system disabled it: what is planned for it dies
    SHUT = 1  # its breaker is open, or finding out: deliveries are held
    ALARM = 2  # an alert fires
    FAILING = 3  # failures, yet it is called
    PAUSED = 4  # by hand, as endpoint or breaker: deliveries are held until somebody ends it
    UNSIGNED = 5  # a signing secret is missing or overdue
    WELL = 9


LABELS = {
    Rank.ENDED: "Disabled by the system",
    Rank.SHUT: "Breaker open",
    Rank.ALARM: "Alert firing",
    Rank.FAILING: "Failing",
    Rank.PAUSED: "Paused by hand",
    Rank.UNSIGNED: "Secret due",
    Rank.WELL: "Well",
}
TONES = {
    Rank.ENDED: "bad",
    Rank.SHUT: "bad",
    Rank.ALARM: "bad",
    Rank.FAILING: "warn",
    Rank.PAUSED: "warn",
    Rank.UNSIGNED: "warn",
    Rank.WELL: "good",
}


@dataclass(frozen=True, slots=True)
class Signs:
    """What an endpoint's rank is judged by, as the database knows it. `recent`: results of FAILING_WINDOW."""

    state: str = "enabled"
    by_system: bool = False
    breaker: str = "closed"
    by_hand: bool = False
    firing: int = 0
    failing_since: datetime | None = None
    hold_until: datetime | None = None
    recent_failed: int = 0
    recent_results: int = 0
    is_secret_due: bool = False


def rank_of(signs: Signs, now: datetime) -> Rank:
    """Of several faults the worst. An endpoint that a person disabled is as they want it."""
    if signs.state == "disabled":
        return Rank.ENDED if signs.by_system else Rank.WELL
    if signs.breaker != "closed" and not signs.by_hand:
        return Rank.SHUT
    if signs.firing:
        return Rank.ALARM
    if signs.failing_since or (signs.hold_until and signs.hold_until > now) or _fails(signs):
        return Rank.FAILING
    if signs.state == "paused" or signs.by_hand:
        return Rank.PAUSED
    return Rank.UNSIGNED if signs.is_secret_due else Rank.WELL


@dataclass(frozen=True, slots=True)
class Condition:
    """A rank in words, with the tone of its dot."""

    words: str
    tone: str


def condition_of(rank: Rank, signs: Signs) -> Condition:
    if rank is Rank.SHUT and signs.breaker == "half_open":
        return Condition("Breaker half-open", "warn")
    if rank is Rank.WELL and signs.state == "disabled":
        return Condition("Disabled", "mute")
    if rank is Rank.WELL and not signs.recent_results:
        return Condition("Quiet", "mute")
    return Condition(LABELS[rank], TONES[rank])


def _fails(signs: Signs) -> bool:
    return signs.recent_results >= FAILING_LEAST and signs.recent_failed > FAILING_SHARE * signs.recent_results


@dataclass(frozen=True, slots=True)
class Rates:
    """How a span of time went. `share` of the attempts succeeded, 0–1; None without any."""

    attempts: int = 0
    failed: int = 0
    share: float | None = None
    p95_ms: float | None = None

    @classmethod
    def of(cls, sums: Sums) -> Rates:
        results = sums.delivered + sums.failed
        share = sums.delivered / results if results else None
        return cls(results, sums.failed, share, percentile_ms(sums.latency_buckets, 0.95))

    @property
    def percent(self) -> str:
        """Rounded down: 99.97 % is never shown as all."""
        if self.share is None:
            return "–"
        if self.share == 1:
            return "100 %"
        return f"{int(self.share * 1000) / 10:.1f} %"

    @property
    def tone(self) -> str:
        if self.share is None:
            return "mute"
        return "good" if self.share >= GOOD_SHARE else "warn" if self.share >= 0.5 else "bad"
