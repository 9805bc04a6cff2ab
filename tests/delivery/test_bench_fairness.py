from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from delivery.bench.events import ORDERED_EVERY, ORDERED_TAG, PLAIN_TAG, release_events
from delivery.bench.fairness import FRESH_P99_MOST_MS, Fresh, Result, as_json, as_text
from delivery.bench.run import make_governed_tenant, make_tenant
from subscriptions.models import Endpoint, Ordering, Subscription
from subscriptions.routing import routing

FAIR = Fresh(600, 600, {"p50": 20.0, "p99": FRESH_P99_MOST_MS}, 70_000)
LATE = replace(FAIR, latency_ms={"p50": 20.0, "p99": FRESH_P99_MOST_MS + 0.1})
MISSING = replace(FAIR, received=599)
SILENT = Fresh(600, 0, {}, 70_000)


@pytest.mark.parametrize(
    ("backlog", "slow", "recovery", "is_fair"),
    [
        (FAIR, FAIR, FAIR, True),
        (LATE, FAIR, FAIR, False),
        (FAIR, LATE, FAIR, False),
        (FAIR, FAIR, LATE, False),
        (MISSING, FAIR, FAIR, False),
        (FAIR, SILENT, FAIR, False),
    ],
)
def test_result_is_fair_when_nothing_is_missing_or_late_in_any_case(
    backlog: Fresh, slow: Fresh, recovery: Fresh, is_fair: bool
) -> None:
    result = Result(backlog, slow, recovery)
    assert as_json(result)["fair"] is is_fair
    assert ("NOT FAIR" in as_text(result)) is not is_fair


@pytest.mark.django_db
@pytest.mark.parametrize("fan_out", [1, 3])
def test_event_goes_to_as_many_subscriptions_when_the_tenant_is_governed(fan_out: int) -> None:
    make_tenant("plain", "http://127.0.0.1:1/hook", fan_out)
    make_governed_tenant("governed", "http://127.0.0.1:1/hook", fan_out)
    routing.forget()
    ordered = set(Subscription.objects.filter(ordering=Ordering.BLOCK).values_list("id", flat=True))

    for tenant, share in (("plain", 0), ("governed", 1)):
        routes = routing.get().tenant(tenant)
        assert routes is not None
        events = list(itertools.islice(release_events(tenant), ORDERED_EVERY))
        matched = [[route.subscription_id for route in routes.match(event)] for event in events]
        assert [len(each) for each in matched] == [fan_out] * ORDERED_EVERY
        assert sum(set(each) <= ordered for each in matched) == share
    limited = Endpoint.objects.filter(tenant__slug="governed").exclude(rate_limit=None).exclude(max_in_flight=None)
    assert limited.count() == 2 * fan_out


def test_one_event_in_so_many_is_tagged_as_ordered() -> None:
    tags = [event.tags[1] for event in itertools.islice(release_events("acme"), 2 * ORDERED_EVERY)]
    assert tags.count(ORDERED_TAG) == 2
    assert tags.count(PLAIN_TAG) == len(tags) - 2
