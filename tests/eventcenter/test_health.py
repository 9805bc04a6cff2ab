"""Readiness names what is missing, and liveness does not care."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from config.stack.services import Services
from eventcenter import bus, health, store
from eventcenter.health import ROLES, SILENT_AFTER, readiness
from eventcenter.models import Heartbeat


@contextmanager
def nobody_listens() -> Iterator[None]:
    """Of PostgreSQL's port, for this thread's connection."""
    connection.close()
    port, connection.settings_dict["PORT"] = connection.settings_dict["PORT"], "1"
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["PORT"] = port


@pytest.fixture
def all_there(db: None, topic: str) -> None:
    for role in ROLES:
        store.beat(role, "host:1")


def ready(client: Client) -> tuple[int, dict[str, str]]:
    response = client.get("/readyz")
    return response.status_code, json.loads(response.content)


@pytest.mark.kafka
def test_all_is_ready_when_every_part_is_there(client: Client, all_there: None) -> None:
    assert ready(client) == (200, dict.fromkeys(("database", "redis", "kafka", "heartbeats"), "ok"))


def test_liveness_asks_nobody(client: Client) -> None:
    response = client.get("/healthz")

    assert (response.status_code, response.content) == (200, b"ok\n")


def test_silent_roles_are_named_when_they_were_not_seen_lately(client: Client, all_there: None) -> None:
    Heartbeat.objects.filter(role="relay").delete()
    Heartbeat.objects.filter(role="sweep").update(seen_at=timezone.now() - SILENT_AFTER - timedelta(seconds=1))

    status, parts = ready(client)

    assert (status, parts["heartbeats"], parts["database"]) == (503, "silent: relay, sweep", "ok")


def test_role_is_not_silent_when_one_of_its_processes_is_alive(all_there: None) -> None:
    store.beat("worker", "host:2")
    Heartbeat.objects.filter(instance="host:1", role="worker").update(seen_at=timezone.now() - SILENT_AFTER * 2)

    assert readiness()["heartbeats"] == "ok"


def test_redis_is_named_when_it_is_away(client: Client, all_there: None, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    status, parts = ready(client)

    assert status == 503
    assert "127.0.0.1:1" in parts["redis"]
    assert parts["kafka"] == "ok"


@pytest.mark.kafka
def test_kafka_is_named_when_it_is_away_and_ready_again_when_it_is_back(
    client: Client, all_there: None, services: Services
) -> None:
    assert ready(client)[0] == 200
    services.kafka.stop()
    try:
        status, parts = ready(client)
        assert status == 503
        assert parts["kafka"] not in ("", "ok")
        assert (parts["database"], parts["redis"]) == ("ok", "ok")
    finally:
        services.kafka.start()

    assert health.check_kafka() == ""


@pytest.mark.django_db(transaction=True)
def test_database_is_named_when_it_is_away_and_ready_again_when_it_is_back(client: Client, topic: str) -> None:
    with nobody_listens():
        status, parts = ready(client)

    assert status == 503
    assert "connection" in parts["database"]
    assert "password" not in parts["database"]
    assert parts["heartbeats"] == "unknown, the database is away"
    assert readiness()["database"] == "ok"


@pytest.mark.kafka
def test_topics_are_made_once(settings: Settings, topic: str) -> None:
    assert bus.create_topics() == []

    settings.KAFKA_EVENTS_TOPIC = f"{topic}-second"
    assert bus.create_topics() == [f"{topic}-second"]
