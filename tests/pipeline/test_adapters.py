"""From a forge to a subscriber, with every process of ours: GitHub tells of a release, a signed webhook comes out."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from django.db.models import Sum
from standardwebhooks.webhooks import Webhook

from delivery.bench.processes import Fleet, free_port
from eventcenter.models import Adapter, AdapterCount, Event, EventType
from eventcenter.standardwebhooks import generate_secret
from tests.eventcenter.adapters import payloads
from tests.factories import AdapterFactory, EndpointFactory, EndpointSecretFactory, SubscriptionFactory, TenantFactory
from tests.fakes.receiver import Receiver
from tests.pipeline.publisher import is_up
from tests.waiting import eventually

pytestmark = pytest.mark.kafka

SECRET, SIGNING_SECRET = generate_secret(), generate_secret()


@pytest.fixture
def adapter(transactional_db: None, event_types: list[EventType], receiver: Receiver) -> Adapter:
    """Of a tenant whose one subscription is to stable releases."""
    endpoint = EndpointFactory(tenant=TenantFactory(slug="acme"), url=receiver.url("/ci"))
    EndpointSecretFactory(endpoint=endpoint, secret=SIGNING_SECRET)
    SubscriptionFactory(tenant=endpoint.tenant, endpoint=endpoint, types=["plugin.release.*"], tags=["stable"])
    made: Adapter = AdapterFactory(tenant=endpoint.tenant, secret=SECRET)
    return made


@pytest.fixture
def url(adapter: Adapter, fleet: Fleet) -> str:
    """With the web process alone."""
    port = free_port()
    fleet.start_web(port)
    base = f"http://127.0.0.1:{port}"
    eventually(lambda: is_up(f"{base}/healthz"), timeout=60)
    return f"{base}/internal/events/adapters/{adapter.public_id}"


@pytest.fixture
def pipeline(url: str, fleet: Fleet) -> None:
    """All the other processes."""
    fleet.start_relay()
    fleet.start_consumer()
    fleet.start_worker("worker", "deliveries.fast,deliveries.slow,deliveries.retry")
    fleet.start_sweep()
    eventually(lambda: is_up(urljoin(url, "/readyz")), timeout=60)


def deliver(url: str, payload: payloads.Json, delivery: str) -> requests.Response:
    """As GitHub does: the signature is over the body's bytes."""
    body = json.dumps(payload).encode()
    headers = {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/044aadd",
        "x-github-event": "release",
        "x-github-delivery": delivery,
        "x-hub-signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
    }
    return requests.post(url, data=body, headers=headers, timeout=10)


def test_subscriber_has_the_release_once_when_github_tells_of_it_three_times(
    url: str, pipeline: None, receiver: Receiver
) -> None:
    """GitHub sends `published` and `released` for one release, and somebody redelivers the first."""
    first = deliver(url, payloads.github(), "delivery-1").json()["events"][0]
    request = receiver.wait_for(1, timeout=20)[0]

    others = [
        deliver(url, payloads.github(action="released"), "delivery-2").json(),
        deliver(url, payloads.github(), "delivery-1").json(),
        deliver(url, payloads.github(action="deleted"), "delivery-3").json(),
    ]
    marker = deliver(url, payloads.github(release__id=2, release__tag_name="v1.11.0"), "delivery-4").json()
    receiver.wait_for(2, timeout=20)

    assert others[:2] == [{"events": [{"id": first["id"], "duplicate": True}]}] * 2
    assert others[2]["ignored"] == "other_action"
    event = Webhook(SIGNING_SECRET).verify(request.body, request.header_map())
    assert (event["type"], event["source"]) == (
        "plugin.release.published",
        "https://github.com/acme/airflow-provider-kafka",
    )
    assert (event["data"]["version"], event["forgedelivery"]) == ("1.10.1", "delivery-1")
    assert {str(row) for row in Event.objects.values_list("id", flat=True)} == {
        first["id"],
        marker["events"][0]["id"],
    }
    assert len(receiver.requests) == 2
    sums = AdapterCount.objects.values_list("outcome").annotate(total=Sum("count"))
    assert dict(sums) == {"accepted": 2, "duplicate": 2, "ignored": 1}


def test_nothing_reaches_the_subscriber_when_the_signature_is_another(
    url: str, pipeline: None, receiver: Receiver
) -> None:
    body = json.dumps(payloads.github()).encode()
    headers = {"x-github-event": "release", "x-hub-signature-256": "sha256=" + "0" * 64}

    refused = requests.post(url, data=body, headers={"content-type": "application/json", **headers}, timeout=10)
    deliver(url, payloads.github(release__tag_name="v1.11.0"), "marker")

    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    assert json.loads(receiver.wait_for(1, timeout=20)[0].body)["data"]["version"] == "1.11.0"
    assert len(receiver.requests) == 1


def test_ping_is_answered_when_the_guides_snippet_is_run(url: str) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "adapters.md").read_text()
    (snippet,) = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    environ = {"ADAPTER_URL": url, "ADAPTER_SECRET": SECRET, "PATH": os.environ["PATH"]}

    done = subprocess.run(["sh", "-eu", "-c", snippet], env=environ, capture_output=True, timeout=30, check=True)

    assert json.loads(done.stdout)["ignored"] == "ping"
