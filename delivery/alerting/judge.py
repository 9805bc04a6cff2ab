"""What a measured value makes of an alert. Pure: the rule, the alert's state and `now` are arguments.

Above the threshold the rule *holds*; at or below `clear_below` things are *well*; between the two nothing changes, and no
clock starts or stops. That band, and the times for which a value must last on either side of it, keep an alert from
flapping: after it fired it stays until it has been well for `clear_for_s`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from delivery.alerting.rules import Rule


class Verdict(StrEnum):
    NOTHING = "nothing"  # as it is, and what was measured is no news
    PENDING = "pending"  # begins to wait: the rule holds, though not yet for long enough
    PASSES = "passes"  # pending, and it passed away unsaid
    FIRES = "fires"
    GOES_ON = "goes_on"  # pending or firing, and the rule holds still
    WELL = "well"  # firing, and well from now on
    UNWELL = "unwell"  # firing, had been well for a while, and the rule holds again
    RESOLVES = "resolves"


@dataclass(frozen=True, slots=True)
class Reading:
    """`value` in the unit of the kind; `count`: of what it was measured (attempts, deliveries), for `minimum_count`."""

    value: float
    count: int = 0


NO_READING = Reading(0.0)  # nothing happened within the window


@dataclass(frozen=True, slots=True)
class Standing:
    """An alert that is open. `since`: when the rule was first seen to hold."""

    firing: bool
    since: datetime
    well_since: datetime | None = None


def holds(reading: Reading, rule: Rule) -> bool:
    """Fewer than the minimum count say nothing: neither that it holds nor, unless it is well, that it does not."""
    return reading.value > rule.threshold and reading.count >= rule.minimum_count


def is_well(reading: Reading, rule: Rule) -> bool:
    return reading.value <= rule.clear_below


def judge(reading: Reading, rule: Rule, standing: Standing | None, now: datetime) -> Verdict:
    """`standing` None: there is no open alert."""
    if not rule.enabled:
        return over(standing)
    if standing is None:
        return _nothing_yet(reading, rule)
    return _firing(reading, rule, standing, now) if standing.firing else _pending(reading, rule, standing, now)


def over(standing: Standing | None) -> Verdict:
    """When its rule is disabled, or what it is about is gone."""
    if standing is None:
        return Verdict.NOTHING
    return Verdict.RESOLVES if standing.firing else Verdict.PASSES


def _nothing_yet(reading: Reading, rule: Rule) -> Verdict:
    if not holds(reading, rule):
        return Verdict.NOTHING
    return Verdict.PENDING if rule.for_s else Verdict.FIRES


def _pending(reading: Reading, rule: Rule, standing: Standing, now: datetime) -> Verdict:
    if holds(reading, rule):
        return Verdict.FIRES if _lasted(standing.since, rule.for_s, now) else Verdict.GOES_ON
    return Verdict.PASSES if is_well(reading, rule) else Verdict.NOTHING


def _firing(reading: Reading, rule: Rule, standing: Standing, now: datetime) -> Verdict:
    if holds(reading, rule):
        return Verdict.UNWELL if standing.well_since else Verdict.GOES_ON
    if not is_well(reading, rule):
        return Verdict.NOTHING
    if standing.well_since is None:
        return Verdict.WELL if rule.clear_for_s else Verdict.RESOLVES
    return Verdict.RESOLVES if _lasted(standing.well_since, rule.clear_for_s, now) else Verdict.NOTHING


def _lasted(since: datetime, for_s: int, now: datetime) -> bool:
    return now - since >= timedelta(seconds=for_s)
