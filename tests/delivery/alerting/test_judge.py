from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.alerting.judge import NO_READING, Reading, Standing, Verdict, judge
from delivery.alerting.kinds import RuleKind
from delivery.alerting.rules import DEFAULTS, Rule

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EVERY = timedelta(seconds=15)
AT_ONCE = DEFAULTS[RuleKind.FAILURE_RATE]  # above 5 %, well at 2.5 %, at least 20, for 0 s, clear for 60 s
PATIENT = replace(AT_ONCE, for_s=30)


def ago(seconds: int) -> datetime:
    return NOW - timedelta(seconds=seconds)


def pending(seconds: int) -> Standing:
    return Standing(False, ago(seconds))


def firing(well_s: int | None = None) -> Standing:
    return Standing(True, ago(900), None if well_s is None else ago(well_s))


@pytest.mark.parametrize(
    ("reading", "rule", "standing", "verdict"),
    [
        (Reading(0.05, 100), AT_ONCE, None, Verdict.NOTHING),  # above, not at
        (Reading(0.0501, 100), AT_ONCE, None, Verdict.FIRES),
        (Reading(1.0, 19), AT_ONCE, None, Verdict.NOTHING),  # too few say nothing
        (Reading(1.0, 20), AT_ONCE, None, Verdict.FIRES),
        (Reading(0.1, 100), PATIENT, None, Verdict.PENDING),
        (Reading(0.1, 100), PATIENT, pending(29), Verdict.GOES_ON),
        (Reading(0.1, 100), PATIENT, pending(30), Verdict.FIRES),
        (Reading(0.04, 100), PATIENT, pending(90), Verdict.NOTHING),
        (Reading(0.025, 100), PATIENT, pending(90), Verdict.PASSES),
        (Reading(0.1, 100), AT_ONCE, firing(), Verdict.GOES_ON),
        (Reading(0.1, 100), AT_ONCE, firing(well_s=59), Verdict.UNWELL),
        (Reading(0.03, 100), AT_ONCE, firing(), Verdict.NOTHING),
        (Reading(0.03, 100), AT_ONCE, firing(well_s=900), Verdict.NOTHING),
        (Reading(0.9, 5), AT_ONCE, firing(), Verdict.NOTHING),
        (Reading(0.025, 100), AT_ONCE, firing(), Verdict.WELL),
        (NO_READING, AT_ONCE, firing(), Verdict.WELL),
        (Reading(0.0, 3), AT_ONCE, firing(well_s=59), Verdict.NOTHING),
        (Reading(0.0, 3), AT_ONCE, firing(well_s=60), Verdict.RESOLVES),
        (Reading(0.0, 3), replace(AT_ONCE, clear_for_s=0), firing(), Verdict.RESOLVES),
        (Reading(0.9, 100), replace(AT_ONCE, enabled=False), None, Verdict.NOTHING),
        (Reading(0.9, 100), replace(AT_ONCE, enabled=False), pending(1), Verdict.PASSES),
        (Reading(0.9, 100), replace(AT_ONCE, enabled=False), firing(), Verdict.RESOLVES),
    ],
)
def test_verdict(reading: Reading, rule: Rule, standing: Standing | None, verdict: Verdict) -> None:
    assert judge(reading, rule, standing, NOW) is verdict


def run(readings: list[Reading], rule: Rule) -> list[tuple[datetime, Verdict]]:
    """As the evaluator does it: pass by pass, each verdict carried out."""
    standing: Standing | None = None
    said = []
    for number, reading in enumerate(readings):
        now = NOW + number * EVERY
        verdict = judge(reading, rule, standing, now)
        said.append((now, verdict))
        standing = after(standing, verdict, now)
    return said


def after(standing: Standing | None, verdict: Verdict, now: datetime) -> Standing | None:
    since = standing.since if standing else now
    changed: dict[Verdict, Standing | None] = {
        Verdict.PENDING: Standing(False, now),
        Verdict.FIRES: Standing(True, since),
        Verdict.WELL: Standing(True, since, now),
        Verdict.UNWELL: Standing(True, since),
        Verdict.PASSES: None,
        Verdict.RESOLVES: None,
    }
    return changed.get(verdict, standing)


readings = st.lists(
    st.builds(Reading, st.sampled_from([0.0, 0.02, 0.025, 0.03, 0.05, 0.06, 1.0]), st.integers(0, 40)), max_size=80
)
rules = st.builds(
    lambda for_s, clear_for_s: replace(AT_ONCE, for_s=for_s, clear_for_s=clear_for_s),
    st.sampled_from([0, 15, 40]),
    st.sampled_from([0, 20, 60]),
)


@given(readings, rules)
def test_it_never_resolves_before_it_was_well_for_long_enough(values: list[Reading], rule: Rule) -> None:
    well_since: datetime | None = None
    for reading, (now, verdict) in zip(values, run(values, rule), strict=True):
        if reading.value > rule.threshold and reading.count >= rule.minimum_count:
            well_since = None
        elif reading.value <= rule.clear_below:
            well_since = well_since or now
        if verdict is Verdict.RESOLVES:
            assert well_since is not None
            assert now - well_since >= timedelta(seconds=rule.clear_for_s)
            assert reading.value <= rule.clear_below


@given(readings, rules)
def test_firing_and_resolving_take_turns_and_each_takes_its_time(values: list[Reading], rule: Rule) -> None:
    turns = [(now, verdict) for now, verdict in run(values, rule) if verdict in (Verdict.FIRES, Verdict.RESOLVES)]
    assert [verdict for _, verdict in turns] == [Verdict.FIRES, Verdict.RESOLVES] * (len(turns) // 2) + (
        [Verdict.FIRES] if len(turns) % 2 else []
    )
    fired = [now for now, verdict in turns if verdict is Verdict.FIRES]
    for first, second in pairwise(fired):
        assert second - first >= timedelta(seconds=rule.clear_for_s + rule.for_s) + EVERY


@given(readings, st.lists(st.floats(0.0251, 0.05), min_size=1, max_size=40), rules)
def test_nothing_is_said_while_the_value_is_between_the_two(
    before: list[Reading], between: list[float], rule: Rule
) -> None:
    values = [*before, *(Reading(value, 100) for value in between)]
    assert {verdict for _, verdict in run(values, rule)[len(before) :]} == {Verdict.NOTHING}


@given(readings, rules)
def test_what_lasts_fires_and_what_is_over_ends(before: list[Reading], rule: Rule) -> None:
    bad, good = [Reading(0.5, 100)] * 10, [NO_READING] * 10
    said = [verdict for _, verdict in run([*before, *good, *bad, *good], rule)][len(before) :]
    assert said[:10].count(Verdict.FIRES) == 0
    assert (said[10:20].count(Verdict.FIRES), said[20:].count(Verdict.RESOLVES)) == (1, 1)
    assert said[-1] is Verdict.NOTHING
