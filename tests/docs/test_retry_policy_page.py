"""docs/standards/ops/event-retry-policy.md says what the code does: every table is compared with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import resolve

from config import settings as defaults
from delivery import release
from delivery.health import endpoints
from delivery.health.breaker import BreakerPolicy, Sign, sign_of
from delivery.models import BreakerState
from delivery.outcome import MAX_RETRY_AFTER_S, ErrorKind, Outcome, OutcomeKind, classify
from delivery.replays.service import RATE_DEFAULT_PER_S
from delivery.results import GONE_REASON, PERMANENT_REASON
from delivery.retry import Dead, DeadReason, NextTry, hold_until, next_attempt
from subscriptions.durations import duration_text, parse_duration
from subscriptions.models import MAX_IN_FLIGHT, MAX_RATE_PER_S, MIN_RATE_PER_S, Endpoint, Ordering, Tenant
from subscriptions.retry_policy import (
    DEFAULT_POLICY,
    FIELD_CHECKS,
    MAX_ATTEMPTS,
    MAX_MAX_AGE_S,
    MAX_WAIT_S,
    MIN_MAX_AGE_S,
    NAMED_POLICIES,
    PolicyError,
    parse_policy,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "standards" / "ops" / "event-retry-policy.md").read_text()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATUSES = range(200, 600)

Row = list[str]


def table(heading: str, place: int = 0) -> dict[str, Row]:
    """First column → the others, of the table at that place below a heading."""
    section = re.split(r"^## ", PAGE.split(f"\n## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)[place]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in found.splitlines()[2:]]
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[1:] for row in rows}


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def spread(ranges: str) -> Iterator[int]:
    """The numbers of "400, 402–404"."""
    for part in ranges.split(", "):
        low, _, high = part.partition("–")
        yield from range(int(low), int(high or low) + 1)


def numbers(cell: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", cell)]


def test_policies_are_those_that_can_be_chosen() -> None:
    shown = table("Retry policies")
    assert list(shown) == list(NAMED_POLICIES)
    for name, (purpose, attempts, waits, jitter, max_age) in shown.items():
        named = NAMED_POLICIES[name]
        assert purpose == named.purpose
        assert int(attempts) == len(named.policy.schedule_s)
        assert (0.0, *map(parse_duration, waits.split(", "))) == named.policy.schedule_s
        assert float(jitter.rstrip("%")) / 100 == named.policy.jitter_share
        assert parse_duration(max_age) == named.policy.max_age_s
        assert named.policy.permanent_statuses == frozenset()


def test_fields_and_their_bounds_are_those_that_are_checked() -> None:
    shown = {name: takes for name, (_, takes) in table("Retry policies", 1).items()}
    assert list(shown) == list(FIELD_CHECKS)
    assert shown["schedule_s"] == f"1 to {MAX_ATTEMPTS} waits of at most {duration_text(MAX_WAIT_S)}"
    assert shown["max_age_s"] == f"{duration_text(MIN_MAX_AGE_S)} to {duration_text(MAX_MAX_AGE_S)}"
    low, high, *not_taken = map(int, numbers(shown["permanent_statuses"]))
    for status in range(low - 1, high + 2):
        taken = low <= status <= high and status not in not_taken
        assert (refusal("permanent_statuses", [status]) == "") == taken, status
    assert [refusal("jitter_share", share) == "" for share in (-0.01, 0, 1, 1.01)] == [False, True, True, False]


def refusal(field: str, value: object) -> str:
    try:
        parse_policy({field: value})
    except PolicyError as error:
        return error.errors[field]
    return ""


@pytest.mark.parametrize(("column", "rand"), [(1, 0.0), (2, 1.0)])
def test_default_schedule_is_the_one_that_is_planned(column: int, rand: float) -> None:
    shown = table("Retry policies", 2)
    assert [parse_duration(wait) for wait, *_ in shown.values()] == list(DEFAULT_POLICY.schedule_s)
    at = NOW
    for attempt, cells in shown.items():
        if attempt != "1":
            planned = next_attempt(DEFAULT_POLICY, int(attempt) - 1, NOW, at, None, rand)
            assert isinstance(planned, NextTry)
            at = planned.at
        assert parse_duration(cells[column]) == (at - NOW).total_seconds()
    assert next_attempt(DEFAULT_POLICY, len(shown), NOW, at, None, rand) == Dead(DeadReason.SPENT)


def outcome_of(status: int) -> Outcome:
    kind, error_kind = classify(status, ErrorKind.NONE)
    return Outcome(kind, status_code=status, error_kind=error_kind)


def sign_word(outcome: Outcome) -> str:
    sign = sign_of(outcome)
    return "–" if sign is Sign.NONE else sign.name.lower()


def test_every_answer_is_in_one_row_and_means_what_it_says() -> None:
    rows = {status: cells for ranges, cells in table("What an answer means").items() for status in spread(ranges)}
    assert sorted(rows) == list(STATUSES)
    assert sum(1 for ranges in table("What an answer means") for _ in spread(ranges)) == len(STATUSES)
    for status, (outcome, follows, breaker) in rows.items():
        found = outcome_of(status)
        assert (outcome, breaker) == (found.kind.value, sign_word(found)), status
        assert ("Retry-After" in follows) == (found.kind is OutcomeKind.THROTTLED), status
        if "permanent" in follows:
            assert refusal("permanent_statuses", [status]) == "", status


def test_every_error_without_an_answer_means_what_it_says() -> None:
    for name, (_, outcome, breaker) in table("What an answer means", 1).items():
        kind, error_kind = classify(0, ErrorKind(name))
        assert error_kind == name
        assert (outcome, breaker) == (kind.value, sign_word(Outcome(kind, error_kind=error_kind))), name


def test_errors_are_those_that_the_webhook_transport_knows() -> None:
    source = (ROOT / "delivery" / "transports" / "webhook" / "handle.py").read_text()
    known = {ErrorKind[name].value for name in re.findall(r"ErrorKind\.([A-Z_]+)", source)} - {""}
    assert set(table("What an answer means", 1)) >= known - {ErrorKind.SHUTDOWN.value, ErrorKind.INTERNAL.value}


def test_retry_after_is_capped_as_it_says() -> None:
    assert f"more than {duration_text(MAX_RETRY_AFTER_S)} counts as {duration_text(MAX_RETRY_AFTER_S)}" in PAGE


def test_breaker_parameters_are_the_settings_defaults() -> None:
    shown = table("Circuit breaker")
    assert {variable for variable, _ in shown.values()} == {
        name for name in dir(defaults) if name.startswith("BREAKER_")
    }
    for variable, shown_default in shown.values():
        value = getattr(settings, variable)
        assert parse_duration(shown_default) == value, variable
        assert getattr(BreakerPolicy(), variable.removeprefix("BREAKER_").lower()) == value, variable


def test_breaker_states_and_growth_are_those_of_the_code() -> None:
    assert list(table("Circuit breaker", 1)) == BreakerState.values
    policy = BreakerPolicy()
    assert "The wait doubles" in section("Circuit breaker")
    assert policy.growth == 2.0
    assert "up to a tenth of it is added" in section("Circuit breaker")
    assert policy.jitter_share == 0.1


def test_warnings_and_auto_disable_are_those_of_the_code() -> None:
    shown = table("Auto-disable")
    shares = [int(share.rstrip(" %")) for share in shown]
    assert shares == [*endpoints.WARN_AT_PERCENT, endpoints.DISABLE_AT_PERCENT]
    for share, (what,) in zip(shares, shown.values(), strict=True):
        event = endpoints.DISABLED_TYPE if share == endpoints.DISABLE_AT_PERCENT else endpoints.FAILING_TYPE
        assert f"`{event}`" in what
    assert f"for {settings.ENDPOINT_DISABLE_AFTER_HOURS} hours" in section("Auto-disable")


def test_ramp_is_that_of_the_releaser() -> None:
    values = [numbers(value)[0] for (value,) in table("After an outage").values()]
    assert values == [release.FIRST_WINDOW, release.WINDOW_GROWTH, release.MOST_WINDOW]


def test_limits_are_those_that_forms_take() -> None:
    shown = list(table("Limits").values())
    rates = [numbers(takes) for where, takes, _ in shown if "rate_limit" in where]
    assert rates == [[MIN_RATE_PER_S, MAX_RATE_PER_S]] * 2
    assert [numbers(takes) for where, takes, _ in shown if "max_in_flight" in where] == [[1, MAX_IN_FLIGHT]]
    for model in (Endpoint, Tenant):
        bounds = {validator.limit_value for validator in model._meta.get_field("rate_limit").validators}
        assert bounds >= {MIN_RATE_PER_S, MAX_RATE_PER_S}


def test_orderings_are_those_of_a_subscription() -> None:
    assert list(table("Order")) == Ordering.values


def code() -> Iterator[str]:
    return (path.read_text() for path in sorted((ROOT / "delivery").rglob("*.py")) if path.name != "test_send.py")


def kinds_in_code(pattern: str) -> set[str]:
    return {ErrorKind[name].value for text in code() for name in re.findall(pattern, text)}


def test_reasons_of_a_hold_are_those_in_the_code() -> None:
    deferred = kinds_in_code(r"(?:\bdeferred|\bHold)\(\s*ErrorKind\.([A-Z_]+)")
    parked = {ErrorKind.ORDERING.value, ErrorKind.BACKLOG.value}
    assert set(table("What holds a delivery")) == deferred | parked


def test_reasons_of_a_death_are_those_in_the_code() -> None:
    permanent = kinds_in_code(r"(?:OutcomeKind\.PERMANENT,\s*(?:error_kind=)?|_permanent\()ErrorKind\.([A-Z_]+)")
    permanent |= {kind.value for kind in ErrorKind if classify(0, kind)[0] is OutcomeKind.PERMANENT}
    reasons = {reason.value for reason in DeadReason} | {GONE_REASON, PERMANENT_REASON}
    assert set(table("Dead")) == reasons | permanent


def test_held_delivery_dies_only_when_its_age_is_over() -> None:
    assert "dies only when its maximum age is really over" in section("Maximum age").replace("\n", " ")
    held = hold_until(DEFAULT_POLICY, NOW, NOW, 10 * DEFAULT_POLICY.max_age_s)
    assert isinstance(held, NextTry)
    assert hold_until(DEFAULT_POLICY, NOW, held.at, 0.0) == Dead(DeadReason.TOO_OLD)


def test_ways_to_replay_exist() -> None:
    ways = table("Replay")
    for way in ways:
        if way.startswith("POST "):
            assert resolve(way.removeprefix("POST "))
        elif way.startswith("manage.py "):
            assert (ROOT / "delivery" / "management" / "commands" / f"{way.split()[1]}.py").exists()
    assert f"({RATE_DEFAULT_PER_S:g} a second by default)" in section("Replay")
