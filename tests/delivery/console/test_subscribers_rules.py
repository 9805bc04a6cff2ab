"""What is said of a subscriber, from what is known: ranks, verdicts, rates, pages of the list. No database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from delivery.console.subscribers.listing import page, place_of
from delivery.console.subscribers.page import charts_of
from delivery.console.subscribers.store import Fault, Sighted
from delivery.console.subscribers.trouble import Rank, Rates, Signs, condition_of, rank_of
from delivery.console.subscribers.verdict import failing_from, verdict
from delivery.counters import LATENCY_BOUNDS_MS
from delivery.telemetry.sums import Sums
from subscriptions.dry_run import Rule, Verdict
from subscriptions.preview import why_not
from tests.factories import EventFactory

NOW = datetime(2025, 11, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WELL = Signs(recent_results=100)


@pytest.mark.parametrize(
    ("signs", "rank", "words"),
    [
        (WELL, Rank.WELL, "Well"),
        (Signs(), Rank.WELL, "Quiet"),
        (Signs(state="disabled"), Rank.WELL, "Disabled"),
        (Signs(state="disabled", by_system=True), Rank.ENDED, "Disabled by the system"),
        (Signs(breaker="open"), Rank.SHUT, "Breaker open"),
        (Signs(breaker="half_open"), Rank.SHUT, "Breaker half-open"),
        (Signs(breaker="open", by_hand=True), Rank.PAUSED, "Paused by hand"),
        (Signs(firing=2), Rank.ALARM, "Alert firing"),
        (Signs(failing_since=NOW), Rank.FAILING, "Failing"),
        (Signs(hold_until=NOW + MINUTE), Rank.FAILING, "Failing"),
        (replace(WELL, hold_until=NOW - MINUTE), Rank.WELL, "Well"),
        (replace(WELL, recent_failed=5), Rank.WELL, "Well"),
        (replace(WELL, recent_failed=6), Rank.FAILING, "Failing"),
        (Signs(recent_failed=3, recent_results=3), Rank.WELL, "Well"),
        (Signs(state="paused"), Rank.PAUSED, "Paused by hand"),
        (Signs(is_secret_due=True), Rank.UNSIGNED, "Secret due"),
        (Signs(breaker="open", firing=1, is_secret_due=True), Rank.SHUT, "Breaker open"),
    ],
)
def test_worst_fault_gives_the_rank_when_there_are_several(signs: Signs, rank: Rank, words: str) -> None:
    assert rank_of(signs, NOW) is rank
    assert condition_of(rank, signs).words == words


def fault(kind: str, count: int = 1, status: int | None = None) -> Fault:
    return Fault(kind, status, count, NOW, "")


@pytest.mark.parametrize(
    ("rank", "faults", "whose", "said"),
    [
        (Rank.SHUT, [fault("http_status", 9, 503)], "them", "503"),
        (Rank.FAILING, [fault("template", 3)], "us", "template cannot be filled"),
        (Rank.FAILING, [fault("bad_url", 3)], "us", "set here"),
        (Rank.FAILING, [fault("timeout", 3), fault("unsigned")], "both", "no answer in time"),
        (Rank.WELL, [fault("timeout")], "nobody", "but for a few"),
        (Rank.PAUSED, [fault("timeout")], "nobody", "Somebody stopped it"),
        (Rank.SHUT, [], "them", "before this hour"),
        (Rank.ENDED, [], "them", "dies"),
        (Rank.ALARM, [], "nobody", "An alert fires"),
    ],
)
def test_verdict_says_whose_fault_it_is_when_attempts_failed(
    rank: Rank, faults: list[Fault], whose: str, said: str
) -> None:
    found = verdict(rank, faults, NOW, 10)
    assert found.whose == whose
    assert said in found.words


def test_verdict_is_that_nothing_was_sent_when_there_are_no_results() -> None:
    assert "Nothing was sent" in verdict(Rank.WELL, [], None, 0).words
    assert verdict(Rank.WELL, [], None, 5).words == "It takes what is sent."


def minutes(*counts: tuple[int, int]) -> dict[datetime, Sums]:
    return {NOW + MINUTE * place: Sums(delivered=good, failed=bad) for place, (good, bad) in enumerate(counts)}


@pytest.mark.parametrize(
    ("counts", "from_minute"),
    [
        ([(100, 0), (100, 0)], None),
        ([(100, 0), (0, 9)], 1),
        ([(0, 9), (100, 0), (1, 9), (0, 0), (0, 3), (0, 0)], 2),
        ([(0, 9), (0, 9), (100, 5)], None),
        ([], None),
    ],
)
def test_failing_begins_where_the_last_good_minute_ended(
    counts: list[tuple[int, int]], from_minute: int | None
) -> None:
    assert failing_from(minutes(*counts)) == (None if from_minute is None else NOW + MINUTE * from_minute)


@pytest.mark.parametrize(
    ("good", "bad", "percent", "tone"),
    [
        (0, 0, "–", "mute"),
        (10, 0, "100 %", "good"),
        (9999, 1, "99.9 %", "good"),
        (9, 1, "90.0 %", "warn"),
        (0, 4, "0.0 %", "bad"),
    ],
)
def test_success_is_rounded_down_when_it_is_shown(good: int, bad: int, percent: str, tone: str) -> None:
    rates = Rates.of(Sums(delivered=good, failed=bad))
    assert (rates.percent, rates.tone) == (percent, tone)


def test_charts_have_gaps_where_nothing_was_counted() -> None:
    buckets = (0, 0, 0, 4, *(0,) * (len(LATENCY_BOUNDS_MS) - 3))
    steps = {NOW: Sums(), NOW + MINUTE: Sums(delivered=4, failed=4, latency_buckets=buckets)}
    success, latency, volume = charts_of(steps, MINUTE)
    assert success.columns[0].cells == ("–",)
    assert "50" in success.columns[1].cells[0]
    assert "ms" in latency.columns[1].cells[0]
    assert volume.columns[1].cells == ("4", "4")


def sighted(*slugs: str, failing: str = "") -> list[Sighted]:
    signs = Signs(failing_since=NOW)
    return [Sighted(key, "acme", slug, None, signs if slug == failing else WELL) for key, slug in enumerate(slugs, 1)]


def test_list_begins_with_trouble_and_goes_on_after_a_cursor_when_it_is_long() -> None:
    found = sighted(*(f"sink-{number:03}" for number in range(120)), failing="sink-077")
    first = page(found, "", None, NOW)
    assert (first.shown[0][1].slug, first.total, first.troubled) == ("sink-077", 120, 1)
    second = page(found, "", place_of(first.after), NOW)
    third = page(found, "", place_of(second.after), NOW)
    seen = [each.slug for part in (first, second, third) for _, each in part.shown]
    assert len(seen) == len(set(seen)) == 120
    assert third.after == ""


def test_list_holds_those_in_trouble_alone_when_it_is_told_so() -> None:
    found = sighted("a", "b", "c", failing="b")
    assert [each.slug for _, each in page(found, "yes", None, NOW).shown] == ["b"]
    assert [each.slug for _, each in page(found, "no", None, NOW).shown] == ["a", "c"]


@pytest.mark.parametrize("text", ["", "x", "1/acme", "1x/acme/a", "²/acme/a", "99999999999/acme/a", "-1/a/b"])
def test_cursor_is_none_when_it_cannot_be_read(text: str) -> None:
    assert place_of(text) is None


def test_reason_is_in_words_when_an_event_does_not_match() -> None:
    event = EventFactory.build(id=UUID(int=1), tags=["beta"])
    rule = Rule(("plugin.*",), ("stable",), ({"exact": {"subject": "x"}},))
    assert why_not(rule, Verdict(event, "")) == ""
    assert why_not(rule, Verdict(event, "types")) == "its type is none of these"
    assert why_not(rule, Verdict(event, "tags")) == "none of the tags; it has beta"
    assert why_not(rule, Verdict(event, "filters[0]")) == 'filter 1 does not hold: {"exact": {"subject": "x"}}'
