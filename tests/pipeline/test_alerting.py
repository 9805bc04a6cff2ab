"""A receiver fails one request in ten: somebody is called once, and once more when it is well. All processes are real."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from delivery.alerting.contacts import seal_routing_key
from delivery.bench.processes import MANAGE, Fleet
from delivery.bench.run import prepare, publish
from delivery.models import Alert, AlertContact, AlertRule, AlertState, Incident, Page
from eventcenter.models import EventType
from subscriptions.models import Endpoint
from tests.factories import EndpointFactory, SubscriptionFactory
from tests.fakes.pagerduty import PagerDuty
from tests.fakes.receiver import Answer, Receiver
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)

ROUND = 100
FAILING = [*[Answer(204)] * 9, Answer(500)] * 10
# A minute after the window's threshold is passed is what the page may take.
WITHIN_S = 60


@pytest.fixture
def pagerduty() -> Iterator[PagerDuty]:
    with PagerDuty() as running:
        yield running


@pytest.fixture
def process_env(process_env: dict[str, str], pagerduty: PagerDuty) -> dict[str, str]:
    return process_env | {
        "PAGERDUTY_EVENTS_URL": pagerduty.url,
        "PUBLIC_URL": "https://events.example.com",
    }


@pytest.fixture
def endpoint(receiver: Receiver, event_types: list[EventType]) -> Endpoint:
    """Its releases go to /hook, the alerts of its tenant to /alerts."""
    made: Endpoint = EndpointFactory(url=receiver.script("/hook", *FAILING, Answer(204)))
    # A failed one is tried once more at the end of the test at the earliest: 10 of 100 first attempts fail.
    late = {"schedule_s": [0, 3600], "jitter_share": 0}
    SubscriptionFactory(endpoint=made, retry_policy=late)
    watcher = EndpointFactory(tenant=made.tenant, url=receiver.url("/alerts"))
    SubscriptionFactory(endpoint=watcher, types=["ops.alert.firing", "ops.alert.resolved"])
    AlertContact.objects.create(
        name="On call",
        channel="pagerduty",
        sealed_routing_key=seal_routing_key("R0123456789abcdef0123456789abcde"),
    )
    # The default rule, but for the time that it must be well before it is resolved.
    AlertRule.objects.create(
        kind="failure_rate",
        tenant=made.tenant,
        threshold=0.05,
        clear_below=0.025,
        window_s=300,
        minimum_count=20,
        clear_for_s=1,
        severity="critical",
    )
    return made


def test_failing_receiver_calls_once_and_once_more_when_it_is_well(
    fleet: Fleet, endpoint: Endpoint, receiver: Receiver, pagerduty: PagerDuty
) -> None:
    for name, command in (("telemetry", "run_telemetry"), ("pager", "send_pages")):
        fleet.start(name, [*MANAGE, command])
    fleet.start_relay()
    fleet.start_consumer()
    fleet.start_sweep()
    fleet.start_worker("worker")
    tenant = endpoint.tenant.slug

    assert publish(prepare(tenant, ROUND), rate=0) == ROUND
    receiver.wait_for(ROUND, timeout=60, path="/hook")
    (dedup_key,) = eventually(lambda: pagerduty.alerts, timeout=WITHIN_S)
    (trigger,) = pagerduty.alerts[dedup_key]
    assert trigger["event_action"] == "trigger"
    assert trigger["payload"]["severity"] == "critical"
    alert = Alert.objects.get(kind="failure_rate")
    assert alert.state == AlertState.FIRING
    assert any(link["href"].startswith("https://events.example.com/") for link in trigger["links"])

    assert publish(prepare(tenant, 5 * ROUND), rate=0) == 5 * ROUND
    receiver.wait_for(6 * ROUND, timeout=60, path="/hook")
    eventually(lambda: not Incident.objects.filter(resolved_at=None).exists(), timeout=WITHIN_S)
    eventually(lambda: not Page.objects.exclude(next_at=None).exists(), timeout=30)
    assert [event["event_action"] for event in pagerduty.alerts[dedup_key]] == ["trigger", "resolve"]
    assert list(pagerduty.alerts) == [dedup_key], "one page for one cause"
    assert Alert.objects.get(pk=alert.pk).state == AlertState.RESOLVED

    firing, resolved = (json.loads(request.body) for request in receiver.wait_for(2, timeout=30, path="/alerts"))
    assert (firing["type"], resolved["type"]) == ("ops.alert.firing", "ops.alert.resolved")
    assert firing["tenant"] == tenant
