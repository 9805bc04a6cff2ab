"""The other channels: brokers' hosts are the tenants' words; Kafka's and PagerDuty's are not."""

from __future__ import annotations

import socket

import pytest

from delivery.outbound import Outbound, OutboundError
from delivery.outcome import ErrorKind, OutcomeKind
from delivery.transports.amqp import request as amqp_request
from delivery.transports.amqp.transport import AmqpSender
from delivery.transports.pagerduty import request as pagerduty_request
from subscriptions.channels.checks import check_settings
from subscriptions.channels.registry import SPECS
from subscriptions.models import Channel
from tests.delivery.transports.sinks import make_sending, make_sink
from tests.ssrf.corpus import BROKER_HOSTS, URLS, Case
from tests.ssrf.stage import LOOPBACK_CIDRS, Decoy, Fence, Resolver

REFUSED = {ErrorKind.FORBIDDEN_ADDRESS, ErrorKind.DNS, ErrorKind.BAD_URL}
# Names that only libcurl takes for addresses go to the resolver here; the scripted one knows none of them.
HTTP_URLS = [case for case in URLS if case.url.startswith("http") and not case.unsaved]


@pytest.fixture(autouse=True)
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    scripted = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", scripted)
    return scripted


def broker_outcome(sender: AmqpSender, url: str) -> tuple[OutcomeKind, ErrorKind]:
    sink = make_sink("amqp", config={"exchange": "x"}, credentials={"url": url}, timeout_s=2.0)
    outcome = sender.send_one(amqp_request.build(sink, make_sending()))
    sender.close()
    return outcome.kind, outcome.error_kind


@pytest.mark.parametrize("host", BROKER_HOSTS)
@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_broker_is_not_dialled_when_its_host_is_forbidden(decoy: Decoy, scheme: str, host: str) -> None:
    fence = Fence()
    _, error_kind = broker_outcome(AmqpSender(fence), f"{scheme}://{host}:{decoy.port}/")
    assert error_kind in REFUSED
    assert fence.let_through == []
    assert decoy.connections == 0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/", "amqp://127.0.0.1:{port}/v/x", "amqp:///v", "redis://localhost"]
)
def test_broker_url_is_refused_for_good_when_it_is_not_amqp(decoy: Decoy, url: str) -> None:
    filled = url.replace("{port}", str(decoy.port))
    assert broker_outcome(AmqpSender(Fence()), filled) == (OutcomeKind.PERMANENT, ErrorKind.BAD_URL)
    assert decoy.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "user:pass@127.1"])
def test_decoy_is_dialled_when_the_deployment_allows_loopback(decoy: Decoy, host: str) -> None:
    broker_outcome(AmqpSender(Fence(LOOPBACK_CIDRS)), f"amqp://{host}:{decoy.port}/")
    assert decoy.reached(1)


@pytest.mark.parametrize("case", HTTP_URLS, ids=lambda case: case.name)
def test_other_door_for_http_does_not_reach_a_forbidden_socket(decoy: Decoy, case: Case) -> None:
    """PagerDuty's, whose URL the deployment sets: nothing gets past it either."""
    fence = Fence()
    outbound = Outbound(fence)
    with pytest.raises(OutboundError):
        outbound.post(case.at(decoy.port), b"{}", {}, 2.0)
    outbound.close()
    assert fence.let_through == []
    assert decoy.connections == 0


@pytest.mark.parametrize("region", ["http://127.0.0.1/", "eu@127.0.0.1", "../us", "", "internal"])
def test_pagerduty_is_pagerduty_whatever_a_tenant_calls_the_region(region: str) -> None:
    sink = make_sink("pagerduty", config={"region": region}, credentials={"routing_key": "a" * 32})
    assert pagerduty_request.build(sink, make_sending()).url == "https://events.pagerduty.com/v2/enqueue"
    assert region == "" or "region" in check_settings(SPECS[Channel.PAGERDUTY], {"region": region}, {})


@pytest.mark.parametrize("cluster", ["127.0.0.1:9092", "localhost", "bus,127.0.0.1:9092", "bus@evil"])
def test_kafka_cluster_is_one_that_the_deployment_names(cluster: str) -> None:
    assert "cluster" in check_settings(SPECS[Channel.KAFKA], {"cluster": cluster, "topic": "releases"}, {})


@pytest.mark.parametrize("name", ["url", "endpoint", "events_url", "proxy", "bootstrap.servers"])
@pytest.mark.parametrize("channel", [Channel.KAFKA, Channel.PAGERDUTY, Channel.CONSOLE, Channel.WEBHOOK])
def test_setting_that_could_name_a_host_is_refused(channel: Channel, name: str) -> None:
    assert name in check_settings(SPECS[channel], {name: "http://127.0.0.1/"}, {})
