"""An ordered subscription with every process of ours: failures, retries and a killed worker do not change the order."""

from __future__ import annotations

from collections import defaultdict

import orjson
import pytest

from delivery.bench.processes import Fleet
from delivery.models import Delivery, OrderedDelivery
from delivery.states import DeliveryStatus
from eventcenter.bus import new_producer
from eventcenter.envelope import partition_key, to_kafka
from eventcenter.models import EventType
from subscriptions.models import Ordering
from tests.delivery.bus_messages import release
from tests.factories import EndpointFactory, SubscriptionFactory, TenantFactory
from tests.fakes.receiver import Answer, Receiver
from tests.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

PLUGINS = 5
RELEASES = 30  # of each
REFUSE_EVERY = 7
PATH = "/ordered"
QUICK = {"schedule_s": [0.0, *[0.1] * 20], "jitter_share": 0.0}


@pytest.fixture
def process_env(process_env: dict[str, str]) -> dict[str, str]:
    """Short leases, so that what a killed worker held is free again soon."""
    return process_env | {"DISPATCH_LEASE_S": "8", "WEBHOOK_MAX_TIMEOUT_S": "2"}


@pytest.fixture
def flaky(receiver: Receiver) -> list[Answer]:
    """What the receiver answers to its requests, in turn; 204 to all that follow."""
    acts = [Answer(500 if number % REFUSE_EVERY == 3 else 204) for number in range(PLUGINS * RELEASES)]
    receiver.script(PATH, *acts, Answer(204))
    return acts


def subscribe(receiver: Receiver, ordering: str) -> None:
    endpoint = EndpointFactory(tenant=TenantFactory(slug="acme"), url=receiver.url(PATH))
    SubscriptionFactory(endpoint=endpoint, ordering=ordering, retry_policy=QUICK)


def write(topic: str) -> None:
    """The plugins in turn, each one's releases in order."""
    producer = new_producer()
    for number in range(RELEASES):
        for plugin in range(PLUGINS):
            event = release("acme", id=str(number), source=f"/pipelines/{plugin}", subject=f"plugin-{plugin}")
            headers, value = to_kafka(event)
            producer.produce(topic, key=partition_key(event), value=value, headers=[*headers])
    assert producer.flush(10) == 0


def accepted(receiver: Receiver, acts: list[Answer]) -> dict[str, list[int]]:
    """Of each plugin the releases in the order in which the receiver first took them."""
    found: dict[str, list[int]] = defaultdict(list)
    for number, request in enumerate(receiver.requests_to(PATH)):
        event = orjson.loads(request.body)
        took = number >= len(acts) or acts[number].status == 204
        if took and int(event["id"]) not in found[event["subject"]]:
            found[event["subject"]].append(int(event["id"]))
    return found


def test_each_plugins_releases_arrive_in_order_when_the_receiver_fails_and_a_worker_is_killed(
    fleet: Fleet, event_types: list[EventType], receiver: Receiver, flaky: list[Answer], topic: str
) -> None:
    subscribe(receiver, Ordering.BLOCK)
    fleet.start_sweep()
    fleet.start_consumer()
    doomed = fleet.start_worker("worker1")
    fleet.start_worker("worker2")
    write(topic)
    receiver.wait_for(PLUGINS * RELEASES // 3, timeout=60, path=PATH)

    doomed.kill()

    def all_delivered() -> bool:
        return Delivery.objects.filter(status=DeliveryStatus.DELIVERED).count() == PLUGINS * RELEASES

    eventually(all_delivered, timeout=90, every_s=0.2)
    assert accepted(receiver, flaky) == {f"plugin-{number}": list(range(RELEASES)) for number in range(PLUGINS)}
    assert any(answer.status == 500 for answer in flaky[: len(receiver.requests)])
    eventually(lambda: not OrderedDelivery.objects.exists())
