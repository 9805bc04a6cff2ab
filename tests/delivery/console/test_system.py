"""The console's page of the system: for whom, what it names, and what is left of it while a service is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Producer
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from config.stack.services import Services
from delivery.system import processes, queues, reading, tables
from delivery.system.kept import Kept
from delivery.telemetry.deployment import EXPECTED
from eventcenter import store
from eventcenter.access.roles import Role
from eventcenter.bus import kafka_config
from eventcenter.models import ConsumerOffset, Heartbeat, OutboxMessage
from subscriptions.models import Tenant
from tests.factories import SuperuserFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
URL = "/console/system"
# session, user, roles; offsets, heartbeats, counters. The gauges' plain SQL is not in Django's count.
POLL_QUERIES = 6

SignedIn = Callable[..., Client]


@pytest.fixture
def signed_in() -> SignedIn:
    def sign_in(*roles: tuple[Tenant | None, Role]) -> Client:
        client = Client()
        client.force_login(UserFactory(roles=roles))
        return client

    return sign_in


@pytest.fixture
def ops(signed_in: SignedIn) -> Client:
    return signed_in((None, Role.VIEWER))


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    yield
    for kept in (reading._lag._ends, queues._kept, tables._kept):
        assert isinstance(kept, Kept)
        kept.forget()


@pytest.fixture
def all_run() -> None:
    for role in EXPECTED:
        store.beat(role, "host:1")


def shown(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_only_platform_people_see_the_system(signed_in: SignedIn, ops: Client) -> None:
    tenants_own = signed_in((TenantFactory(slug="acme"), Role.TENANT_ADMIN))
    assert tenants_own.get(URL).status_code == 403
    assert signed_in().get(URL).status_code == 403
    assert Client().get(URL).status_code == 302
    page = shown(tenants_own.get("/console/alerts"))
    assert f'href="{URL}"' not in page
    assert 'href="/readyz"' in page
    page = shown(ops.get("/console/alerts"))
    assert f'href="{URL}"' in page
    assert 'href="/readyz"' not in page


@pytest.mark.kafka
def test_page_says_that_all_is_well_and_what_runs(ops: Client, all_run: None, topic: str) -> None:
    page = shown(ops.get(URL))
    assert "Every stage moves" in page
    assert "Not running" not in page
    assert page.count("</span>1 alive</span>") == len(EXPECTED)
    for words in ("librdkafka", "PostgreSQL", "All applied", "event-bus-v2", "BREAKER_MIN_COUNT", "eventcenter_event"):
        assert words in page
    assert "Valkey" in page or "Redis" in page


def test_page_shows_no_secret(client: Client, all_run: None, topic: str) -> None:
    client.force_login(SuperuserFactory())
    page = shown(client.get(URL))
    for secret in (
        django_settings.SECRET_KEY,
        django_settings.REDIS_URL,
        django_settings.DATABASES["default"]["PASSWORD"],
    ):
        assert not secret or secret not in page
    assert "ENCRYPTION_KEYS" not in page


def test_roles_that_should_run_are_named_when_they_do_not(ops: Client, all_run: None, topic: str) -> None:
    Heartbeat.objects.filter(role="pager").delete()
    Heartbeat.objects.filter(role="consumer").update(seen_at=timezone.now() - timedelta(minutes=3))
    page = shown(ops.get(URL))
    assert "Not running: <b>consumer</b>, <b>pager</b>." in page
    assert "Never seen" in page
    assert "Stuck at Consumer" in page


@pytest.mark.kafka
def test_lag_is_shown_by_partition(ops: Client, all_run: None, topic: str) -> None:
    producer = Producer(kafka_config(acks="all"))
    for _ in range(7):
        producer.produce(topic, b"x", partition=1)
    assert producer.flush(10) == 0
    ConsumerOffset.objects.create(topic=topic, partition=1, next_offset=3)
    found = reading.read(timezone.now()).lag.value
    assert found is not None
    assert [(each.number, each.stored, each.end, each.lag) for each in found] == [
        (0, 0, 0, 0),
        (1, 3, 7, 4),
        (2, 0, 0, 0),
    ]
    assert '4</b> <span class="sub">messages behind' in shown(ops.get(URL))


@pytest.mark.kafka
def test_rest_of_the_page_comes_when_kafka_is_away(ops: Client, all_run: None, topic: str, services: Services) -> None:
    OutboxMessage.objects.create(id="01900000-0000-7000-8000-000000000000", key="acme|x", body=b"{}")
    services.kafka.stop()
    try:
        page = shown(ops.get(URL))
    finally:
        services.kafka.start()
    assert "Stuck at Kafka: Kafka is away" in page
    assert "Kafka does not answer" in page
    assert "Redis does not answer" not in page
    assert "eventcenter_event" in page


@pytest.mark.kafka
def test_rest_of_the_page_comes_when_redis_is_away(ops: Client, all_run: None, topic: str, services: Services) -> None:
    services.valkey.stop()
    try:
        page = shown(ops.get(URL))
    finally:
        services.valkey.start()
    assert "Stuck at Worker: Redis is away" in page
    assert "Redis does not answer" in page
    assert "Kafka does not answer" not in page


def test_poll_gets_the_live_part_alone_at_the_same_cost(
    ops: Client, all_run: None, settings: Settings, django_assert_num_queries: Any
) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"
    ops.get(URL)
    for number in range(5):
        store.beat("worker", f"host:{number + 2}")
    with django_assert_num_queries(POLL_QUERIES):
        response = ops.get(URL, headers={"HX-Request": "true", "HX-Target": "live"})
    page = shown(response)
    assert page.startswith('<div id="live"')
    assert "BREAKER_MIN_COUNT" not in page


def test_process_that_ended_is_forgotten_after_an_hour_unless_it_was_the_last() -> None:
    now = timezone.now()
    ages = {"host:1": timedelta(0), "host:2": timedelta(minutes=5), "host:3": timedelta(hours=2)}
    beats = [Heartbeat(role="worker", instance=name, seen_at=now - age, since=now) for name, age in ages.items()]
    beats.append(Heartbeat(role="relay", instance="host:9", seen_at=now - timedelta(days=2), since=now))
    found = {role.name: role for role in processes.by_role(beats, now)}
    assert [process.instance for process in found["worker"].processes] == ["host:1", "host:2"]
    assert (found["worker"].is_missing, found["worker"].words) == (False, "1 alive")
    assert (found["relay"].is_missing, found["relay"].words) == (True, "Silent")
    assert found["pager"].words == "Never seen"


def test_beat_says_since_when_it_goes_without_a_silence() -> None:
    store.beat("worker", "host:1")
    began = Heartbeat.objects.get().since
    store.beat("worker", "host:1")
    assert Heartbeat.objects.get().since == began
    Heartbeat.objects.update(seen_at=began - timedelta(minutes=1), since=began - timedelta(hours=1))
    store.beat("worker", "host:1")
    assert Heartbeat.objects.get().since > began - timedelta(minutes=1)
