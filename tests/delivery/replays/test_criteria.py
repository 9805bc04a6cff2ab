from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from delivery.replays.criteria import ENDED, IDS_MOST, Criteria, CriteriaError, Names, gap, parse, words

NOON = datetime(2025, 11, 5, 12, tzinfo=UTC)
SOME_ID, OTHER_ID = uuid4(), uuid4()
FULL = Criteria(
    tenant_id=3,
    endpoint_id=12,
    subscription_id=7,
    statuses=("delivered", "dead"),
    types=("a.b", "c.d"),
    since=NOON,
    until=NOON + timedelta(hours=1, milliseconds=5),
    ended_since=NOON - timedelta(days=2),
    ids=(SOME_ID, OTHER_ID),
    event_id=uuid4(),
)


@pytest.mark.parametrize(
    "criteria",
    [FULL, gap(12, NOON), Criteria(), Criteria(ids=(SOME_ID,), statuses=ENDED), Criteria(tenant_id=1, types=("x",))],
)
def test_criteria_come_back_as_they_were_when_they_went_through_plain_data(criteria: Criteria) -> None:
    assert parse(criteria.as_data()) == criteria


def test_a_filter_takes_the_dead_when_no_status_is_given() -> None:
    assert parse({"tenant": 1}).statuses == ("dead",)
    assert parse({"tenant": 1}).only_dead


@pytest.mark.parametrize("data", [{"ids": [str(SOME_ID)]}, {"event": str(SOME_ID)}])
def test_what_is_named_one_by_one_takes_all_that_have_ended_when_no_status_is_given(data: dict[str, object]) -> None:
    assert parse(data).statuses == ("delivered", "dead", "cancelled")
    assert parse(data).is_explicit


def test_gap_takes_what_ended_undelivered_since_then() -> None:
    assert gap(12, NOON) == Criteria(endpoint_id=12, statuses=("dead", "cancelled"), ended_since=NOON)


def test_times_are_taken_in_every_zone() -> None:
    assert parse({"since": "2025-11-05T13:00:00+01:00"}).since == NOON


def test_one_status_or_type_may_stand_without_a_list() -> None:
    found = parse({"status": "cancelled", "types": "plugin.release.published"})
    assert (found.statuses, found.types) == (("cancelled",), ("plugin.release.published",))


def test_a_selection_holds_each_id_once() -> None:
    assert parse({"ids": [str(SOME_ID), str(OTHER_ID), str(SOME_ID)]}).ids == (SOME_ID, OTHER_ID)


@pytest.mark.parametrize(
    ("data", "field", "takes"),
    [
        ({"tenant": "acme"}, "tenant", "whole number"),
        ({"endpoint": True}, "endpoint", "whole number"),
        ({"endpoint": -1}, "endpoint", "whole number"),
        ({"subscription": 2**63}, "subscription", "whole number"),
        ({"status": ["pending"]}, "status", "only what has ended"),
        ({"status": 5}, "status", "one or more of"),
        ({"types": [1]}, "types", "a list of event types"),
        ({"types": ["x" * 201]}, "types", "200 characters"),
        ({"types": ["a\0b"]}, "types", "200 characters"),
        ({"since": "yesterday"}, "since", "ISO 8601"),
        ({"since": "2025-11-05T12:00:00"}, "since", "with its zone"),
        ({"since": 5}, "since", "ISO 8601"),
        ({"until": "0001-01-01T00:00:00+23:00"}, "until", "ISO 8601"),
        ({"since": "2025-11-05T12:00:00Z", "until": "2025-11-05T12:00:00Z"}, "until", "later than since"),
        ({"ids": str(SOME_ID)}, "ids", "a list of delivery ids"),
        ({"ids": ["x"]}, "ids", "UUID"),
        ({"ids": [str(SOME_ID)] * (IDS_MOST + 1)}, "ids", "at most 10,000"),
        ({"event": "x"}, "event", "UUID"),
        ({"event": 7}, "event", "UUID"),
        ({"tennant": 1}, "tennant", "is not known; takes back, codes, ended_since, endpoint"),
        ({}, "body", "at least one of"),
    ],
)
def test_wrong_field_is_named_with_what_it_takes(data: dict[str, Any], field: str, takes: str) -> None:
    with pytest.raises(CriteriaError) as caught:
        parse(data)
    [(name, message)] = caught.value.problems
    assert name == field
    assert takes in message


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(CriteriaError) as caught:
        parse({"tenant": 0, "since": "x", "event": "y", "z": 1})
    assert {name for name, _ in caught.value.problems} == {"event", "tenant", "since", "z"}


def test_words_say_all_that_is_given() -> None:
    told = words(FULL, Names("acme", "ci-cd", "releases"))
    assert told == (
        "delivered or dead, 2 selected, of event " + str(FULL.event_id) + ", of acme / ci-cd / releases, "
        "of type a.b or c.d, accepted since 2025-11-05 12:00:00 UTC, accepted before 2025-11-05 13:00:00 UTC, "
        "ended since 2025-11-03 12:00:00 UTC"
    )


def test_words_say_so_when_it_goes_across_tenants_or_has_many_types() -> None:
    told = words(Criteria(types=("a", "b", "c", "d", "e")), Names())
    assert told == "dead, of all tenants, of type a or b or c and 2 more"
