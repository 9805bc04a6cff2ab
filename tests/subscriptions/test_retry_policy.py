from __future__ import annotations

import pytest

from subscriptions.retry_policy import (
    DEFAULT_POLICY,
    NAMED_POLICIES,
    PolicyError,
    RetryPolicy,
    parse_policy,
    policy_as_data,
    policy_text,
    stored_policy,
)

QUICK = NAMED_POLICIES["quick"].policy


def test_permanent_statuses() -> None:
    policy = RetryPolicy(permanent_statuses=frozenset({400, 422}))
    assert policy.is_permanent(422)
    assert not policy.is_permanent(500)
    assert not policy.is_permanent(None)


def test_policy_survives_the_way_through_plain_data() -> None:
    policy = RetryPolicy((0.0, 1.5), 0.5, 3600.0, frozenset({404, 400}))
    assert parse_policy(policy_as_data(policy)) == policy
    assert parse_policy({}) == DEFAULT_POLICY
    assert parse_policy({"schedule_s": [0, 10]}) == RetryPolicy(schedule_s=(0.0, 10.0))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schedule_s", []),
        ("schedule_s", 5),
        ("schedule_s", "55"),
        ("schedule_s", [1, -1]),
        ("schedule_s", [True]),
        ("schedule_s", ["5"]),
        ("schedule_s", [float("nan")]),
        ("schedule_s", [float("inf")]),
        ("schedule_s", [1] * 51),
        ("schedule_s", [8 * 86_400]),
        ("jitter_share", -0.1),
        ("jitter_share", 1.1),
        ("jitter_share", None),
        ("max_age_s", 59),
        ("max_age_s", 31 * 86_400),
        ("max_age_s", "1h"),
        ("permanent_statuses", 404),
        ("permanent_statuses", [399]),
        ("permanent_statuses", [600]),
        ("permanent_statuses", [404.0]),
        ("permanent_statuses", [410]),
        ("permanent_statuses", [404, 503]),
        ("retries", 3),
        ("name", "slow"),
        ("name", None),
    ],
)
def test_bad_policy_names_the_field(field: str, value: object) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy({field: value})
    assert list(caught.value.errors) == [field]


def test_bad_policy_names_every_bad_field() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy({"jitter_share": 2, "max_age_s": 0, "schedule_s": [0], "colour": "red"})
    assert set(caught.value.errors) == {"jitter_share", "max_age_s", "colour"}


def test_name_stands_for_its_policy_and_fields_override_it() -> None:
    assert parse_policy({"name": "quick"}) == QUICK
    changed = parse_policy({"name": "quick", "permanent_statuses": [404]})
    assert changed == RetryPolicy(QUICK.schedule_s, QUICK.jitter_share, QUICK.max_age_s, frozenset({404}))
    assert parse_policy({"name": "standard"}) == DEFAULT_POLICY


@pytest.mark.parametrize("name", NAMED_POLICIES)
def test_named_policy_is_one_that_people_could_have_written(name: str) -> None:
    policy = NAMED_POLICIES[name].policy
    stored = stored_policy(policy_as_data(policy))
    assert stored is not None
    assert parse_policy(stored) == policy


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("standard", None),
        ({}, None),
        ({"name": "standard", "max_age_s": None}, None),
        ("quick", {"name": "quick"}),
        ({"max_age_s": "2d"}, {"name": "standard", "max_age_s": 172_800.0}),
        (
            {"name": "patient", "schedule_s": [0, "5m", 90]},
            {"name": "patient", "schedule_s": [0.0, 300.0, 90.0]},
        ),
    ],
)
def test_written_policy_is_stored_as_seconds(written: object, stored: object) -> None:
    assert stored_policy(written) == stored


@pytest.mark.parametrize(
    ("written", "field", "words"),
    [
        ("soon", "name", "takes one of standard, quick, patient"),
        (7, "name", "takes standard, quick, patient, or a mapping"),
        ({"schedule_s": ["5s", "5m"]}, "schedule_s", "begins with 0"),
        ({"schedule_s": [0, "5 parsecs"]}, "schedule_s", "such as 30s, 5m or 2h"),
        ({"schedule_s": "5m"}, "schedule_s", "takes a list"),
        ({"schedule_s": [0, "8d"]}, "schedule_s", "from 0 s to 7 d"),
        ({"schedule_s": []}, "schedule_s", "1 to 50 waits"),
        ({"max_age_s": "31d"}, "max_age_s", "from 1 min to 30 d"),
        ({"max_age_s": "-1"}, "max_age_s", "such as"),
        ({"jitter": 1}, "jitter", "is not a field"),
    ],
)
def test_written_policy_is_refused_at_its_field(written: object, field: str, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        stored_policy(written)
    assert list(caught.value.errors) == [field]
    assert words in caught.value.errors[field]


def test_stored_policy_with_another_first_wait_is_still_read() -> None:
    assert parse_policy({"schedule_s": [3, 5]}).schedule_s == (3.0, 5.0)


def test_policy_is_told_in_one_line() -> None:
    policy = RetryPolicy((0.0, 5.0, 5400.0), 0.25, 7200.0)
    assert policy_text(policy) == "3 attempts: at once, 5 s, 1 h 30 min; up to 25% later; dead after 2 h"
    assert policy_text(RetryPolicy((0.0,))).startswith("1 attempt: at once;")
