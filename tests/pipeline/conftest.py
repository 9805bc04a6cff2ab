"""All processes that an event goes through, and somebody who publishes."""

from __future__ import annotations

import pytest

from delivery.bench.processes import Fleet, free_port
from eventcenter.models import EventType
from eventcenter.standardwebhooks import generate_secret
from subscriptions.models import Endpoint
from tests.factories import EndpointFactory, PublishKeyFactory, SubscriptionFactory, TenantFactory
from tests.fakes.receiver import Receiver
from tests.pipeline.publisher import Publisher, is_up
from tests.waiting import eventually


@pytest.fixture
def endpoint(transactional_db: None, event_types: list[EventType], receiver: Receiver) -> Endpoint:
    endpoint = EndpointFactory(tenant=TenantFactory(slug="acme"), url=receiver.url("/ci"))
    SubscriptionFactory(tenant=endpoint.tenant, endpoint=endpoint, types=["plugin.release.*"])
    return endpoint


@pytest.fixture
def publisher(endpoint: Endpoint, fleet: Fleet) -> Publisher:
    secret = generate_secret()
    key = PublishKeyFactory(tenant=endpoint.tenant, secret=secret)
    port = free_port()
    fleet.start_web(port)
    fleet.start_relay()
    fleet.start_consumer()
    fleet.start_worker("worker", "deliveries.fast,deliveries.slow,deliveries.retry")
    fleet.start_sweep()
    base = f"http://127.0.0.1:{port}"
    eventually(lambda: is_up(f"{base}/readyz"), timeout=30)
    return Publisher(base, key, secret)
