"""A receiver is down while much waits for it, and comes back: it gets all, a few at first, and nobody else notices."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Count

from delivery.bench.processes import Fleet
from delivery.bench.run import prepare, publish
from delivery.models import Breaker, BreakerState, Delivery, Dispatch
from delivery.states import DeliveryStatus
from eventcenter.models import EventType
from subscriptions.models import Endpoint
from tests.factories import EndpointFactory, SubscriptionFactory, TenantFactory
from tests.fakes.receiver import Answer, Receiver
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)

EVENTS = 2_000
QUICK = {"schedule_s": [0, *[2] * 20], "jitter_share": 0}


@pytest.fixture
def process_env(process_env: dict[str, str]) -> dict[str, str]:
    return process_env | {"BREAKER_FIRST_WAIT_S": "2", "BREAKER_MAX_WAIT_S": "2"}


def subscribe(url: str, slug: str) -> Endpoint:
    endpoint: Endpoint = EndpointFactory(tenant=TenantFactory(slug=slug), url=url)
    SubscriptionFactory(tenant=endpoint.tenant, endpoint=endpoint, retry_policy=QUICK)
    return endpoint


def by_state(endpoint: Endpoint) -> dict[str, Any]:
    rows = Delivery.objects.filter(endpoint=endpoint).values_list("status").annotate(Count("id"))
    return dict(rows.order_by("status"))


def test_recovered_endpoint_gets_all_that_waited_and_others_never_wait(
    fleet: Fleet, event_types: list[EventType], receiver: Receiver
) -> None:
    down = subscribe(receiver.script("/down", Answer(500)), "acme")
    well = subscribe(receiver.url("/well"), "northwind")
    fleet.start_consumer()
    fleet.start_worker("worker")
    fleet.start_sweep()
    assert publish(prepare("acme", EVENTS), rate=0) == EVENTS

    held = Delivery.objects.filter(endpoint=down, held_reason="breaker_open")
    eventually(lambda: held.count() >= EVENTS - 300, timeout=60)
    assert Breaker.objects.get(endpoint_id=down.pk).state != BreakerState.CLOSED
    tried = len(receiver.requests_to("/down"))
    assert tried < EVENTS / 4, "an open breaker holds the others without a try"

    assert publish(prepare("northwind", 20), rate=0) == 20
    receiver.wait_for(20, timeout=20, path="/well")
    assert held.count() >= EVENTS / 2, "the other tenant did not wait for them"

    receiver.script("/down", Answer(204))
    eventually(lambda: by_state(down) == {DeliveryStatus.DELIVERED: EVENTS}, timeout=90)
    eventually(lambda: not Dispatch.objects.exists(), timeout=20)
    assert by_state(well) == {DeliveryStatus.DELIVERED: 20}
    assert Breaker.objects.filter(endpoint_id=down.pk, state=BreakerState.OPEN).count() == 0
    ids = [request.header("webhook-id") for request in receiver.requests_to("/down")]
    assert len(set(ids)) == EVENTS
