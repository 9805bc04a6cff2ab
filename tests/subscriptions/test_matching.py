from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcenter.envelope import Envelope
from subscriptions.filters import compile_filters, type_matches
from subscriptions.matching import Route, RoutingTable, TenantRoutes, build

EVENT = Envelope(
    id="1", source="/pipelines/release", type="plugin.release.published", tenant="acme", tags=("stable", "eu")
)


def route(number: int, *types: str, tags: tuple[str, ...] = (), filters: list[object] | None = None) -> Route:
    accepts = compile_filters(filters) if filters else None
    return Route(number, number * 10, "fast", types, frozenset(tags), accepts)


def routes_of(*routes: Route) -> TenantRoutes:
    made = TenantRoutes(1)
    for one in routes:
        made.add(one)
    return made


def matched(*routes: Route, event: Envelope = EVENT) -> list[int]:
    return [found.subscription_id for found in routes_of(*routes).match(event)]


@pytest.mark.parametrize(
    ("pattern", "takes"),
    [
        ("plugin.release.published", True),
        ("plugin.release.*", True),
        ("plugin.*", True),
        ("plugin.release", False),
        ("plugin.release.withdrawn", False),
        ("plugin.rel.*", False),
        ("Plugin.Release.Published", False),
        ("plugin.release.published.*", False),
        ("*", False),
        ("", False),
    ],
)
def test_route_takes_an_event_by_its_type(pattern: str, takes: bool) -> None:
    assert bool(matched(route(1, pattern))) is takes


@given(
    st.lists(st.sampled_from(["plugin", "release", "p", "", "*"]), min_size=1, max_size=4).map(".".join),
    st.lists(st.sampled_from(["plugin", "release", "p", ""]), min_size=1, max_size=4).map(".".join),
)
def test_index_finds_what_the_rule_of_patterns_says(pattern: str, event_type: str) -> None:
    event = msgspec.structs.replace(EVENT, type=event_type)
    assert bool(matched(route(1, pattern), event=event)) is type_matches(pattern, event_type)


@pytest.mark.parametrize(
    ("tags", "takes"), [((), True), (("eu",), True), (("us", "eu"), True), (("us",), False), (("EU",), False)]
)
def test_route_takes_an_event_by_any_of_its_tags(tags: tuple[str, ...], takes: bool) -> None:
    assert bool(matched(route(1, EVENT.type, tags=tags))) is takes


def test_route_with_tags_takes_nothing_when_the_event_has_none() -> None:
    bare = msgspec.structs.replace(EVENT, tags=())
    assert matched(route(1, EVENT.type, tags=("eu",)), event=bare) == []
    assert matched(route(1, EVENT.type), event=bare) == [1]


def test_type_tags_and_filters_must_all_hold() -> None:
    filters: list[object] = [{"prefix": {"source": "/pipelines/"}}]
    assert matched(route(1, EVENT.type, tags=("eu",), filters=filters)) == [1]
    assert matched(route(1, EVENT.type, tags=("us",), filters=filters)) == []
    assert matched(route(1, EVENT.type, tags=("eu",), filters=[{"exact": {"source": "/other"}}])) == []
    assert matched(route(1, "other", tags=("eu",), filters=filters)) == []


def test_route_is_found_once_when_several_of_its_patterns_match() -> None:
    assert matched(route(1, "plugin.*", "plugin.release.*", "plugin.release.published")) == [1]


def test_routes_come_in_the_order_of_their_subscriptions() -> None:
    assert matched(route(9, "plugin.*"), route(2, EVENT.type), route(5, "plugin.release.*")) == [2, 5, 9]


def test_each_tenant_has_routes_of_its_own() -> None:
    table = build([("acme", 1), ("globex", 2)], [("acme", route(1, EVENT.type)), ("globex", route(2, "plugin.*"))])
    found = {slug: table.tenant(slug) for slug in ("acme", "globex")}
    assert [found["acme"].match(EVENT), found["globex"].match(EVENT)] == [
        [route(1, EVENT.type)],
        [route(2, "plugin.*")],
    ]
    assert (table.tenant_id("acme"), table.tenant_id("globex")) == (1, 2)


@pytest.mark.parametrize("slug", ["nobody", "", None])
def test_unknown_tenant_has_no_routes(slug: str | None) -> None:
    table = build([("acme", 1)], [])
    assert table.tenant(slug) is None
    assert table.tenant_id(slug) is None


def test_route_is_left_out_when_its_tenant_has_gone_since() -> None:
    assert build([("acme", 1)], [("gone", route(1, EVENT.type))]) == RoutingTable({"acme": TenantRoutes(1)})
