"""Whole subscriptions files as plain data, made by hypothesis: valid ones, and ones with one thing wrong."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Data = dict[str, Any]
ENVIRON = {"HOOKS": "https://hooks.example.com", "TOKEN": "t0ken-of-the-environment", "KEY": "k" * 32}

slugs = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), max_size=30)
rates = st.one_of(st.integers(1, 100_000), st.floats(0.01, 100_000))
words = st.from_regex(r"[a-zA-Z0-9._-]{1,12}", fullmatch=True)
types = st.from_regex(r"[a-z]{1,6}\.[a-z]{1,6}(\.\*)?", fullmatch=True)
attributes = st.dictionaries(
    st.sampled_from(["type", "subject", "source", "tags", "team"]),
    st.text("abc-./ é", min_size=1, max_size=9),
    min_size=1,
)
filters = st.recursive(
    st.builds(lambda dialect, tests: {dialect: tests}, st.sampled_from(["exact", "prefix", "suffix"]), attributes),
    lambda inner: st.one_of(
        st.builds(
            lambda dialect, parts: {dialect: parts},
            st.sampled_from(["all", "any"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=4,
)
waits = st.one_of(
    st.integers(0, 86_400), st.floats(0, 86_400), st.sampled_from(["5s", "1h 30m", "2 min", "7d", "0.5h"])
)
policies = st.one_of(
    st.sampled_from(["standard", "quick", "patient"]),
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["standard", "quick", "patient"]),
            "schedule_s": st.builds(lambda rest: [0, *rest], st.lists(waits, max_size=4)),
            "jitter_share": st.floats(0, 1),
            "max_age_s": st.one_of(st.integers(60, 86_400), st.sampled_from(["1h", "3d"])),
            "permanent_statuses": st.lists(st.sampled_from([400, 401, 404, 422, 500]), max_size=3),
        },
    ),
)
subscription_parts = st.fixed_dictionaries(
    {"types": st.lists(types, min_size=1, max_size=3, unique=True)},
    optional={
        "tags": st.lists(words, max_size=3, unique=True),
        "filters": st.lists(filters, max_size=2),
        "retry_policy": policies,
        "ordering": st.sampled_from(["none", "block", "skip"]),
        "active": st.booleans(),
    },
)
header_values = st.one_of(st.sampled_from(["Bearer ${TOKEN}", "${TOKEN}", "a$${TOKEN}b", "${HOOKS}-${TOKEN}"]), words)
headers = st.dictionaries(st.from_regex(r"x-[a-z]{1,5}(\.[a-z])?", fullmatch=True), header_values, max_size=3)
common = {
    "name": names,
    "timeout_s": st.one_of(st.floats(0.1, 20), st.integers(1, 20)),
    "lane": st.sampled_from(["fast", "slow"]),
    "rate_limit": rates,
    "max_in_flight": st.integers(1, 400),
}
modes = {"content_mode": st.sampled_from(["structured", "binary"])}
urls = st.sampled_from(
    ["${HOOKS}/a", "https://hooks.example.com/b?token=s3cret", "http://10.0.0.1:8080/", "${HOOKS}/${TOKEN}"]
)
texts = st.sampled_from(["{{ event.type }}", "released", "{{ event.data.version }}: $${NOT_A_VARIABLE}"])
github = {
    "url": st.just("https://api.github.com/repos/acme/site/dispatches"),
    "template": st.just("github"),
    "template_params": st.fixed_dictionaries(
        {}, optional={"token": st.sampled_from(["${TOKEN}", "a$${TOKEN}b", "s3cret"]), "event_type": texts}
    ),
}
custom = {
    "url": urls,
    "template": st.just("custom"),
    "template_params": st.fixed_dictionaries(
        {
            "mapping": st.one_of(
                st.just('{"v": "{{ event.type }}"}'), st.dictionaries(words, texts, min_size=1, max_size=2)
            )
        },
        optional={"kind": st.sampled_from(["json", "form"]), "secret": st.just("${TOKEN}")},
    ),
}
slack = {
    "url": st.just("https://hooks.slack.com/services/T1/B1/s3cretS3cret"),
    "template": st.just("slack"),
    "template_params": st.fixed_dictionaries({}, optional={"text": texts}),
}
pagerduty_template = {
    "url": st.just("https://events.pagerduty.com/v2/enqueue"),
    "template": st.just("pagerduty"),
    "template_params": st.fixed_dictionaries(
        {"routing_key": st.just("${KEY}")}, optional={"severity": st.sampled_from(["info", "error"]), "summary": texts}
    ),
}
kafka = {
    "channel": st.just("kafka"),
    "settings": st.fixed_dictionaries(
        {"topic": st.one_of(st.just("${TOKEN}"), words.filter(lambda word: word not in (".", "..", "events")))},
        optional={"cluster": st.just("bus"), "key": st.sampled_from(["partition", "subject", "none"])},
    ),
}
brokers = st.sampled_from(["amqps://ops:${TOKEN}@rabbit.example.com/", "amqp://ops:s3cret@rabbit.example.com/v"])
amqp = {
    "channel": st.just("amqp"),
    "settings": st.fixed_dictionaries(
        {"url": brokers},
        optional={"exchange": words, "routing_key": st.just("{tenant}.{type}"), "persistent": st.booleans()},
    ),
}
pagerduty = {
    "channel": st.just("pagerduty"),
    "settings": st.fixed_dictionaries(
        {"routing_key": st.just("${KEY}")}, optional={"region": st.sampled_from(["us", "eu"])}
    ),
}
console = {
    "channel": st.just("console"),
    "settings": st.fixed_dictionaries({}, optional={"severity": st.sampled_from(["event", "critical", "info"])}),
}


def _endpoint(needed: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Data]:
    return st.fixed_dictionaries(needed, optional=common | optional)


endpoints = st.one_of(
    _endpoint({"url": urls}, {**modes, "headers": headers, "channel": st.just("webhook")}),
    *(_endpoint(way, {"headers": headers}) for way in (github, custom, slack, pagerduty_template)),
    *(_endpoint(way, modes) for way in (kafka, amqp)),
    *(_endpoint(way, {}) for way in (pagerduty, console)),
)


@st.composite
def files(draw: st.DrawFn) -> Data:
    """A valid file; slugs are drawn so that none stands twice."""
    tenants = []
    for slug in draw(st.lists(slugs, min_size=1, max_size=2, unique=True)):
        tenant: Data = {"slug": slug} | draw(st.fixed_dictionaries({}, optional={"name": names, "rate_limit": rates}))
        free = draw(st.lists(slugs, min_size=4, max_size=4, unique=True))
        made = []
        for name in draw(st.lists(slugs, max_size=2, unique=True)):
            mine = [{"slug": free.pop()} | draw(subscription_parts) for _ in range(draw(st.integers(0, 2)))]
            made.append({"slug": name} | draw(endpoints) | {"subscriptions": mine})
        tenants.append(tenant | {"endpoints": made})
    return {"version": 1, "tenants": tenants}


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**6),
    st.floats(-5, 10**6).filter(lambda number: number % 1 != 0),  # JSON Schema does not tell 404.0 from 404
    st.text("ab${}.- A*", max_size=6),
    st.lists(st.one_of(st.integers(0, 9), st.text("ab", max_size=3)), max_size=3),
    st.dictionaries(st.sampled_from(["name", "exact", "url", "slug", "topic"]), st.text("ab1", max_size=4), max_size=2),
)


@st.composite
def nearly_files(draw: st.DrawFn) -> Data:
    """A valid file in which one value was replaced, one key left out or one key added."""
    data = copy.deepcopy(draw(files()))
    holder = draw(st.sampled_from(list(_containers(data))))
    if isinstance(holder, list):
        holder.insert(0, draw(junk))
        return data
    deed = draw(st.sampled_from(["replace", "leave out", "add"]))
    if deed == "add" or not holder:
        holder[draw(st.sampled_from(["colour", "url", "template", "channel", "settings"]))] = draw(junk)
    elif deed == "replace":
        holder[draw(st.sampled_from(sorted(holder)))] = draw(junk)
    else:
        del holder[draw(st.sampled_from(sorted(holder)))]
    return data


def _containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _containers(item)
