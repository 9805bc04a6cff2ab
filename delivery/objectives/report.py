"""The objectives and how a span of time stands to them. Pure; docs/operations/objectives.md says it to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from operator import add

from delivery.counters import percentile_ms
from delivery.telemetry.sums import Sums

# Acceptance criterion 1 of the scenario, and its five seconds.
INITIAL_LEAST_PERMILLE = 970
CUMULATIVE_LEAST_PERMILLE = 995
DUPLICATES_BELOW_PERMILLE = 5
LATENCY_P95_MOST_MS = 5_000


class Goal(StrEnum):
    INITIAL = "initial_success"
    CUMULATIVE = "cumulative_success"
    DUPLICATES = "duplicates"
    LATENCY = "latency_p95"


TITLES = {
    Goal.INITIAL: "Initial success",
    Goal.CUMULATIVE: "Cumulative success",
    Goal.DUPLICATES: "Duplicates",
    Goal.LATENCY: "Latency p95",
}
TARGETS = {
    Goal.INITIAL: "≥ 97 %",
    Goal.CUMULATIVE: "≥ 99.5 %",
    Goal.DUPLICATES: "< 0.5 %",
    Goal.LATENCY: "≤ 5 s",
}


@dataclass(frozen=True, slots=True)
class Objective:
    """`value` is a share (0–1), of LATENCY milliseconds; `count` of `of` make the share. None of it without anything counted."""

    goal: Goal
    value: float | None
    met: bool | None
    count: int
    of: int

    @property
    def title(self) -> str:
        return TITLES[self.goal]

    @property
    def target(self) -> str:
        return TARGETS[self.goal]

    @property
    def shown(self) -> str:
        """The value as people read it; never rounded up to a target that it misses."""
        if self.value is None:
            return "–"
        return duration_words(self.value) if self.goal is Goal.LATENCY else share_words(self.count, self.of)

    @property
    def verdict(self) -> str:
        return "nothing counted" if self.met is None else "met" if self.met else "missed"


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one tenant, or, without a name, of all that were asked for."""

    tenant: str
    sums: Sums

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (
            _share(Goal.INITIAL, self.sums.first_delivered, self.sums.first_attempts),
            _share(Goal.CUMULATIVE, self.sums.delivered, self.sums.delivered + self.sums.dead),
            _share(Goal.DUPLICATES, self.sums.duplicates, self.sums.attempts),
            self._latency(),
        )

    @property
    def is_missed(self) -> bool:
        return any(each.met is False for each in self.objectives)

    def latency_ms(self, share: float) -> float | None:
        return percentile_ms(self.sums.latency_buckets, share)

    @property
    def p50(self) -> str:
        return _latency_words(self.latency_ms(0.5))

    @property
    def p99(self) -> str:
        return _latency_words(self.latency_ms(0.99))

    def _latency(self) -> Objective:
        found, count = self.latency_ms(0.95), sum(self.sums.latency_buckets)
        met = None if found is None else found <= LATENCY_P95_MOST_MS
        return Objective(Goal.LATENCY, found, met, count, count)


@dataclass(frozen=True, slots=True)
class Report:
    """All, and each tenant that has counts: those who miss an objective first, then by name."""

    all: Standing
    tenants: tuple[Standing, ...]


def report(by_tenant: Mapping[int, Sums], names: Mapping[int, str]) -> Report:
    """Tenants without a name were deleted; they are told by their number."""
    standings = [Standing(names.get(key, f"#{key}"), sums) for key, sums in by_tenant.items()]
    standings.sort(key=lambda each: (not each.is_missed, each.tenant))
    return Report(Standing("", total(by_tenant.values())), tuple(standings))


def total(parts: Iterable[Sums]) -> Sums:
    return reduce(add, parts, Sums())


def share_words(count: int, of: int) -> str:
    """A percentage to two digits, cut and not rounded."""
    hundredths = count * 10_000 // of
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def duration_words(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < 1_000 else f"{ms / 1_000:.2f} s"


def _latency_words(ms: float | None) -> str:
    return "–" if ms is None else duration_words(ms)


def _share(goal: Goal, count: int, of: int) -> Objective:
    if not of:
        return Objective(goal, None, None, count, of)
    return Objective(goal, count / of, _is_met(goal, count, of), count, of)


def _is_met(goal: Goal, count: int, of: int) -> bool:
    """By multiplying, so that no rounding decides at the border: 97 of 100 are enough."""
    match goal:
        case Goal.INITIAL:
            return count * 1_000 >= of * INITIAL_LEAST_PERMILLE
        case Goal.CUMULATIVE:
            return count * 1_000 >= of * CUMULATIVE_LEAST_PERMILLE
        case _:
            return count * 1_000 < of * DUPLICATES_BELOW_PERMILLE
