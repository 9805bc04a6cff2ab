"""The objectives' arithmetic, and what the command prints of it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from delivery.objectives.report import Goal, Objective, Standing, duration_words, report, share_words
from delivery.telemetry.sums import Sums
from tests.delivery.telemetry.counted import BUCKETS, minute
from tests.factories import TenantFactory


def one(goal: Goal, sums: Sums) -> Objective:
    return next(each for each in Standing("acme", sums).objectives if each.goal is goal)


@pytest.mark.parametrize(
    ("goal", "sums", "shown", "met"),
    [
        (Goal.INITIAL, Sums(first_attempts=100, first_delivered=97), "97.00 %", True),
        (Goal.INITIAL, Sums(first_attempts=100_000, first_delivered=96_999), "96.99 %", False),
        (Goal.INITIAL, Sums(), "–", None),
        (Goal.CUMULATIVE, Sums(delivered=995, dead=5), "99.50 %", True),
        (Goal.CUMULATIVE, Sums(delivered=99_499, dead=501), "99.49 %", False),
        (Goal.CUMULATIVE, Sums(failed=5, attempts=5), "–", None),
        (Goal.DUPLICATES, Sums(attempts=1000, duplicates=4), "0.40 %", True),
        (Goal.DUPLICATES, Sums(attempts=1000, duplicates=5), "0.50 %", False),
        (Goal.DUPLICATES, Sums(attempts=3), "0.00 %", True),
        (Goal.DUPLICATES, Sums(), "–", None),
    ],
)
def test_share_is_met_or_missed_at_its_border(goal: Goal, sums: Sums, shown: str, met: bool | None) -> None:
    found = one(goal, sums)
    assert (found.shown, found.met) == (shown, met)


@pytest.mark.parametrize(("slow", "met"), [(5, True), (6, False)])
def test_latency_is_met_when_at_most_a_twentieth_is_slower(slow: int, met: bool) -> None:
    buckets = [0] * BUCKETS
    buckets[8], buckets[10] = 100 - slow, slow  # below 2.5 s, and beyond 5 s
    found = one(Goal.LATENCY, Sums(latency_buckets=tuple(buckets)))
    assert found.met is met
    assert one(Goal.LATENCY, Sums()).verdict == "nothing counted"


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_share_is_never_shown_higher_than_it_is(count: int, of: int) -> None:
    shown = float(share_words(min(count, of), of).removesuffix(" %"))
    assert shown <= min(count, of) / of * 100 < shown + 0.0101


def test_duration_is_told_in_ms_or_seconds() -> None:
    assert [duration_words(ms) for ms in (0.4, 999, 5000)] == ["0 ms", "999 ms", "5.00 s"]


def test_who_misses_comes_first_and_all_are_the_sum() -> None:
    good, bad = Sums(first_attempts=10, first_delivered=10), Sums(first_attempts=10, first_delivered=1)
    found = report({1: good, 2: bad, 3: good}, {1: "b", 2: "c", 3: "a"})
    assert [each.tenant for each in found.tenants] == ["c", "a", "b"]
    assert found.all.sums == Sums(first_attempts=30, first_delivered=21)
    assert report({9: good}, {}).tenants[0].tenant == "#9"
    assert report({}, {}).all.sums == Sums()


# --- the command ---


@pytest.mark.django_db
def test_command_shows_all_and_each_tenant_with_targets(capsys: pytest.CaptureFixture[str]) -> None:
    acme, rival = TenantFactory(slug="acme"), TenantFactory(slug="rival")
    at = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=3)
    minute(at, tenant_id=acme.pk, attempts=10, first_attempts=10, first_delivered=9, delivered=10)
    minute(at, endpoint_id=2, tenant_id=rival.pk, attempts=10, first_attempts=10, first_delivered=10, delivered=10)
    call_command("slo_report")
    text = capsys.readouterr().out
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert "90.00 % missed" in lines["acme"]
    assert "95.00 % missed" in lines["all"]
    assert "100.00 % met" in lines["rival"]
    assert "≥ 99.5 %" in lines["target"]
    call_command("slo_report", "--tenant", "rival", "--json")
    told = json.loads(capsys.readouterr().out)
    assert [each["tenant"] for each in told["tenants"]] == ["rival"]
    assert told["all"]["objectives"]["initial_success"] == {
        "value": 1.0,
        "target": "≥ 97 %",
        "met": True,
        "count": 10,
        "of": 10,
    }


@pytest.mark.django_db
def test_command_says_so_when_nothing_was_counted(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("slo_report", "--days", "1")
    assert "Nothing was delivered" in capsys.readouterr().out


@pytest.mark.django_db
@pytest.mark.parametrize("given", [("--days", "0"), ("--days", "week"), ("--tenant", "nobody"), ("--days", "٣")])
def test_command_names_the_option_when_it_is_wrong(given: tuple[str, str]) -> None:
    with pytest.raises(CommandError, match=given[0]):
        call_command("slo_report", *given)
