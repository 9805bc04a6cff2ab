"""Against a socket on loopback that reads datagrams as an agent does."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from delivery.models import TelemetryCursor
from delivery.telemetry.catalog import METRICS, Type
from delivery.telemetry.dogstatsd import Sender
from eventcenter.models import IngestCounter, PublishRefusalCounter
from subscriptions.models import Endpoint
from tests.delivery.telemetry.counted import minute
from tests.factories import EndpointFactory, TenantFactory

pytestmark = pytest.mark.django_db
TYPES = {Type.COUNTER: "c", Type.GAUGE: "g"}


class Line(NamedTuple):
    name: str
    value: float
    type: str
    tags: tuple[str, ...]


class Agent:
    """`read` gives what came since the last call."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.longest = 0

    def read(self) -> list[Line]:
        found = []
        while packet := self._packet():
            self.longest = max(self.longest, len(packet))
            found += [_line(text) for text in packet.decode().splitlines()]
        return found

    def counts(self) -> Counter[str]:
        """Of counters; name with its tags → the sum of the increments."""
        found: Counter[str] = Counter()
        for line in self.read():
            if line.type == "c":
                found[" ".join([line.name, *line.tags])] += int(line.value)
        return found

    def close(self) -> None:
        self._socket.close()

    def _packet(self) -> bytes:
        try:
            return self._socket.recv(65_536)
        except BlockingIOError:
            return b""


def _line(text: str) -> Line:
    head, kind, *more = text.split("|")
    name, value = head.split(":")
    tags = [part.removeprefix("#").split(",") for part in more if part.startswith("#")]
    return Line(name, float(value), kind, tuple(tags[0]) if tags else ())


@pytest.fixture
def agent(settings: Settings, topic: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    # Another address of the environment, to which nothing may go.
    monkeypatch.setenv("DD_DOGSTATSD_URL", "udp://127.0.0.1:9")
    made = Agent()
    settings.DD_AGENT_HOST, settings.DD_DOGSTATSD_PORT = "127.0.0.1", made.port
    yield made
    made.close()


@pytest.fixture
def new_sender(agent: Agent) -> Iterator[Callable[[], Sender]]:
    made: list[Sender] = []

    def make() -> Sender:
        made.append(Sender())
        return made[-1]

    yield make
    for sender in made:
        sender.close()


@pytest.fixture
def ci() -> Endpoint:
    endpoint: Endpoint = EndpointFactory(tenant=TenantFactory(slug="acme"), slug="ci")
    return endpoint


@pytest.fixture
def now() -> datetime:
    return timezone.now().replace(second=0, microsecond=0)


def count(endpoint: Endpoint, at: datetime, shard: int, **counts: int) -> None:
    minute(at, endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id, shard=shard, **counts)


def test_increments_of_two_senders_and_a_restart_add_up_to_the_totals(
    agent: Agent, new_sender: Callable[[], Sender], ci: Endpoint, now: datetime
) -> None:
    one, other = new_sender(), new_sender()
    one.send(now)
    sums: Counter[str] = Counter()
    for turn in range(9):
        at = now + timedelta(minutes=turn * 5)
        count(ci, at, turn, attempts=10 + turn, delivered=turn, duplicates=1)
        IngestCounter.objects.create(minute=at, shard=turn, ingested=3)
        PublishRefusalCounter.objects.create(minute=at, tenant_id=ci.tenant_id, reason="mismatch", shard=1, count=2)
        sender = new_sender() if turn == 6 else (one, other)[turn % 2]
        sender.send(at)
        sums += agent.counts()
    attempts = sum(10 + turn for turn in range(9))
    assert sums["event.delivery.attempts_total"] == attempts
    assert sums["event.endpoint.attempts_total tenant:acme endpoint:ci"] == attempts
    assert sums["event.tenant.attempts_total tenant:acme"] == attempts
    assert sums["event.delivery.success_total"] == sum(range(9))
    assert sums["event.delivery.duplicate_total"] == 9
    assert sums["event.delivery.ingested_total"] == 27
    assert sums["event.publish.signature_errors_total reason:mismatch"] == 18
    assert sums["event.tenant.publish_signature_errors_total tenant:acme reason:mismatch"] == 18
    one.send(now + timedelta(hours=1))
    assert agent.counts() == Counter()


def test_what_was_counted_before_anybody_listened_is_not_sent(
    agent: Agent, new_sender: Callable[[], Sender], ci: Endpoint, now: datetime
) -> None:
    count(ci, now, 1, attempts=1_000_000)
    sender = new_sender()
    sender.send(now)
    assert agent.counts() == Counter()
    count(ci, now, 2, attempts=1)
    sender.send(now)
    assert agent.counts()["event.delivery.attempts_total"] == 1


def test_gauges_have_the_catalogs_units_and_tags(
    agent: Agent, new_sender: Callable[[], Sender], ci: Endpoint, now: datetime
) -> None:
    count(ci, now, 1, delivered=100)
    new_sender().send(timezone.now())
    gauges = {(line.name, line.tags): line.value for line in agent.read() if line.type == "g"}
    assert gauges["event.delivery.latency_p95", ()] == pytest.approx(0.05, abs=0.025)
    assert gauges["event.endpoint.latency_p95", ("tenant:acme", "endpoint:ci")] == pytest.approx(0.05, abs=0.025)
    assert gauges["event.delivery.queue_depth", ("lane:retry",)] >= 0
    assert gauges["event.delivery.breakers", ("state:closed",)] == 1


def test_only_names_of_the_catalog_are_sent_with_their_types_and_tags(
    agent: Agent, new_sender: Callable[[], Sender], ci: Endpoint, now: datetime
) -> None:
    sender = new_sender()
    sender.send(now)
    counted = {each: 1 for each in ("attempts", "delivered", "failed", "first_attempts", "first_delivered", "retried",
                                    "dead", "deferred", "duplicates", "signature_refused")}  # fmt: skip
    count(ci, now, 1, **counted)
    IngestCounter.objects.create(minute=now, shard=1, ingested=1, duplicates=1, rejected=1, planned=1)
    PublishRefusalCounter.objects.create(minute=now, tenant_id=ci.tenant_id, reason="mismatch", shard=1, count=1)
    sender.send(now)
    lines = agent.read()
    dotted = {each.dotted: (TYPES[each.type], each.labels) for each in METRICS if each.dotted}
    for line in lines:
        assert (line.type, tuple(tag.split(":")[0] for tag in line.tags)) == dotted[line.name]
    sent = {line.name for line in lines}
    rare = {"event.adapter.messages_24h", "event.delivery.held", "event.delivery.heartbeat_age"}  # nothing to say here
    assert dotted.keys() - sent == rare
    assert agent.longest <= 1432


def test_more_endpoints_than_series_are_summed_as_others(
    agent: Agent, new_sender: Callable[[], Sender], settings: Settings, now: datetime
) -> None:
    settings.METRICS_SERIES_MOST = 1
    sender = new_sender()
    sender.send(now)
    for place in range(3):
        count(EndpointFactory(), now, 1, dead=10**place)
    sender.send(now)
    found = agent.counts()
    assert found["event.endpoint.dead_total tenant:_others_ endpoint:_others_"] == 110
    assert found["event.tenant.dead_total tenant:_others_"] == 110
    assert found["event.delivery.dead_total"] == 111


def test_increments_wait_when_the_agents_name_does_not_resolve(
    agent: Agent, new_sender: Callable[[], Sender], settings: Settings, ci: Endpoint, now: datetime
) -> None:
    new_sender().send(now)
    count(ci, now, 1, attempts=5)
    settings.DD_AGENT_HOST = "agent.invalid"
    new_sender().send(now)
    settings.DD_AGENT_HOST = "127.0.0.1"
    assert agent.counts() == Counter()
    new_sender().send(now)
    assert agent.counts()["event.delivery.attempts_total"] == 5


def test_increments_wait_when_nobody_listens(
    agent: Agent, new_sender: Callable[[], Sender], settings: Settings, ci: Endpoint, now: datetime
) -> None:
    new_sender().send(now)
    count(ci, now, 1, attempts=5)
    settings.DD_DOGSTATSD_PORT = 1
    new_sender().send(now)
    settings.DD_DOGSTATSD_PORT = agent.port
    new_sender().send(now)
    assert agent.counts()["event.delivery.attempts_total"] == 5


def test_cursors_are_hidden_from_web_requests(now: datetime) -> None:
    TelemetryCursor.objects.create(key="endpoint:1", totals={"attempts": 1})
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('event_center_web', 'delivery_telemetrycursor', 'SELECT')")
        assert cursor.fetchone() == (False,)
