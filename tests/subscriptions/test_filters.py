"""Subscription filters: what each dialect takes and what is said of a wrong one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcenter.envelope import Envelope
from subscriptions.filters import FilterError, attribute_values, compile_filters, type_matches, validate_filters

EVENT = Envelope(
    id="1",
    source="/pipelines/release",
    type="plugin.release.published",
    subject="plugins/payments",
    time=datetime(2025, 11, 5, 12, tzinfo=UTC),
    tenant="acme",
    tags=("stable", "region:eu"),
    extensions={"attempt": 5, "dry": True, "team": "core"},
    data=b'{"channel":"stable"}',
)
TRUE: dict[str, Any] = {"exact": {"tenant": "acme"}}
FALSE: dict[str, Any] = {"exact": {"tenant": "globex"}}


@pytest.mark.parametrize(
    ("expression", "takes"),
    [
        ({"exact": {"type": "plugin.release.published"}}, True),
        ({"exact": {"type": "plugin.release"}}, False),
        ({"exact": {"type": "Plugin.Release.Published"}}, False),
        ({"exact": {"type": "plugin.release.published", "subject": "plugins/payments"}}, True),
        ({"exact": {"type": "plugin.release.published", "subject": "other"}}, False),
        ({"exact": {"specversion": "1.0"}}, True),
        ({"exact": {"datacontenttype": "application/json"}}, True),
        ({"prefix": {"time": "2025-11-05T"}}, True),
        ({"exact": {"time": "2025-11-05T12:00:00Z"}}, True),
        ({"exact": {"attempt": "5"}}, True),
        ({"exact": {"dry": "true"}}, True),
        ({"prefix": {"team": "co"}}, True),
        ({"exact": {"partitionkey": "x"}}, False),
        ({"prefix": {"nosuch": "x"}}, False),
        ({"prefix": {"subject": "plugins/"}}, True),
        ({"prefix": {"subject": "payments"}}, False),
        ({"suffix": {"type": ".published"}}, True),
        ({"suffix": {"type": "plugin."}}, False),
        ({"exact": {"tags": "stable"}}, True),
        ({"exact": {"tags": "region:eu"}}, True),
        ({"exact": {"tags": "stable,region:eu"}}, False),
        ({"exact": {"tags": "beta"}}, False),
        ({"prefix": {"tags": "region:"}}, True),
        ({"suffix": {"tags": ":eu"}}, True),
        ({"not": {"exact": {"tags": "beta"}}}, True),
        ({"not": {"exact": {"tags": "stable"}}}, False),
        ({"not": {"exact": {"nosuch": "x"}}}, True),
        ({"all": [TRUE, TRUE]}, True),
        ({"all": [TRUE, FALSE]}, False),
        ({"any": [FALSE, TRUE]}, True),
        ({"any": [FALSE, FALSE]}, False),
        ({"not": {"any": [FALSE, {"all": [TRUE, FALSE]}]}}, True),
    ],
)
def test_an_expression_takes_or_leaves_the_event(expression: dict[str, Any], takes: bool) -> None:
    assert compile_filters([expression])(EVENT) is takes


@pytest.mark.parametrize(
    ("filters", "takes"), [([], True), ([TRUE], True), ([TRUE, FALSE], False), ([FALSE, TRUE], False)]
)
def test_all_filters_of_the_list_must_pass(filters: list[Any], takes: bool) -> None:
    assert compile_filters(filters)(EVENT) is takes


def test_an_event_without_tags_matches_no_test_of_tags() -> None:
    untagged = Envelope(id="1", source="/s", type="t")

    assert not compile_filters([{"prefix": {"tags": "s"}}])(untagged)
    assert compile_filters([{"not": {"prefix": {"tags": "s"}}}])(untagged)


@pytest.mark.parametrize("name", ["data", "extensions", "__class__"])
def test_what_is_no_attribute_has_no_values(name: str) -> None:
    assert attribute_values(EVENT, name) == ()


def nested(depth: int) -> dict[str, Any]:
    expression = TRUE
    for _ in range(depth - 1):
        expression = {"not": expression}
    return expression


@pytest.mark.parametrize(
    ("filters", "fields"),
    [
        ({}, ["filters"]),
        (None, ["filters"]),
        ([5], ["filters[0]"]),
        ([{}], ["filters[0]"]),
        ([{"exact": {"type": "t"}, "prefix": {"type": "t"}}], ["filters[0]"]),
        ([TRUE, {"sql": "TRUE"}], ["filters[1]"]),
        ([{"exact": {}}], ["filters[0].exact"]),
        ([{"prefix": "type"}], ["filters[0].prefix"]),
        ([{"any": []}], ["filters[0].any"]),
        ([{"all": TRUE}], ["filters[0].all"]),
        ([{"any": [TRUE, {"prefix": 5}]}], ["filters[0].any[1].prefix"]),
        ([{"not": [TRUE]}], ["filters[0].not"]),
        ([{"not": {"suffix": {"type": ""}}}], ["filters[0].not.suffix.type"]),
        ([{"exact": {"type": 5}}], ["filters[0].exact.type"]),
        ([{"exact": {"type": "x" * 513}}], ["filters[0].exact.type"]),
        ([{"exact": {"type": "a\u0000"}}], ["filters[0].exact.type"]),
        ([{"exact": {"data": "x"}}], ["filters[0].exact"]),
        ([{"exact": {"data.channel": "x"}}], ["filters[0].exact"]),
        ([{"exact": {"Type": "x"}}], ["filters[0].exact"]),
        ([{"exact": {"x" * 21: "x"}}], ["filters[0].exact"]),
        ([{"exact": {"": "x"}}], ["filters[0].exact"]),
        ([{"exact": {"été": "x"}}], ["filters[0].exact"]),
        (
            [{"exact": {"type": ""}}, {"any": [{"prefix": {"id": 1}}, {}]}],
            ["filters[0].exact.type", "filters[1].any[0].prefix.id", "filters[1].any[1]"],
        ),
        ([nested(8)], []),
        ([nested(9)], ["filters[0].not.not.not.not.not.not.not.not"]),
        ([nested(150)], ["filters[0].not.not.not.not.not.not.not.not"]),
        ([TRUE] * 100, []),
        ([TRUE] * 101, ["filters"]),
    ],
)
def test_each_wrong_place_is_named_by_its_path(filters: Any, fields: list[str]) -> None:
    problems = validate_filters(filters)

    assert [problem.field for problem in problems] == fields
    if fields:
        with pytest.raises(FilterError) as caught:
            compile_filters(filters)
        assert caught.value.problems == problems


def test_very_deep_filters_are_refused_without_running_out_of_stack() -> None:
    deep: Any = []
    for _ in range(50_000):
        deep = [deep]

    assert [problem.field for problem in validate_filters(deep)] == ["filters[0]"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["exact", "prefix", "suffix", "all", "any", "not", "type", "tags", ""]), inner, max_size=2
        )
    ),
    max_leaves=15,
)


@given(JSON)
def test_what_is_found_valid_can_be_compiled_and_run(filters: Any) -> None:
    if not validate_filters(filters):
        assert compile_filters(json.loads(json.dumps(filters)))(EVENT) in (True, False)


EXPRESSIONS = st.recursive(
    st.sampled_from([TRUE, FALSE]),
    lambda inner: (
        st.builds(
            lambda name, parts: {name: parts}, st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=3)
        )
        | st.builds(lambda part: {"not": part}, inner)
    ),
    max_leaves=6,
)


@given(EXPRESSIONS)
def test_not_turns_any_expression_around(expression: dict[str, Any]) -> None:
    if not validate_filters([{"not": expression}]):
        assert compile_filters([{"not": expression}])(EVENT) is not compile_filters([expression])(EVENT)


@pytest.mark.parametrize(
    ("pattern", "event_type", "matches"),
    [
        ("plugin.release.published", "plugin.release.published", True),
        ("plugin.release.published", "plugin.release.published.v2", False),
        ("plugin.release.*", "plugin.release.published", True),
        ("plugin.release.*", "plugin.release.a.b", True),
        ("plugin.release.*", "plugin.release", False),
        ("plugin.release.*", "plugin.release.", False),
        ("plugin.release.*", "plugin.releases.published", False),
        ("plugin.*", "plugin.release.published", True),
        ("*", "plugin", False),
        ("plugin*", "plugin.release", False),
        ("a.*.c", "a.b.c", False),
    ],
)
def test_a_type_pattern_matches(pattern: str, event_type: str, matches: bool) -> None:
    assert type_matches(pattern, event_type) is matches
