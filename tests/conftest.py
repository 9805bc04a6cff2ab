"""What every test may use: the services of the run, a topic of its own, processes of ours, a signed publisher."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.db import connection
from django.db.models.signals import post_migrate
from pytest_django import DjangoDbBlocker, Settings

from config.stack.services import Services
from delivery.bench.processes import Fleet
from eventcenter import bus, health
from eventcenter.models import EventType
from eventcenter.partitions import maintain
from eventcenter.registry import sync_event_types
from tests.fakes.receiver import Receiver
from tests.services_plugin import services as running_services

flag_rows = import_module("eventcenter.migrations.0006_flag_rows")


@pytest.fixture(scope="session")
def services() -> Services:
    """The embedded services, for tests that stop and start them."""
    return running_services


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """The days of production; and TRUNCATE, by which tests clean up, is let through on the audit trail."""
    post_migrate.connect(flag_rows_again, sender=apps.get_app_config("eventcenter"))
    with django_db_blocker.unblock():
        maintain()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE audit_auditentry DISABLE TRIGGER audit_entry_no_truncate")


def flag_rows_again(**kwargs: object) -> None:
    """The rows that a migration made are gone with the TRUNCATE by which a test cleans up, which sends this signal."""
    flag_rows.make(apps, None)


@pytest.fixture
def event_types(db: None) -> list[EventType]:
    """The registry as `manage.py sync_event_types` fills it."""
    sync_event_types()
    return list(EventType.objects.all())


@pytest.fixture
def topic(settings: Settings) -> str:
    """A Kafka topic and a consumer group of this test alone."""
    settings.KAFKA_EVENTS_TOPIC = settings.KAFKA_CONSUMER_GROUP = f"test-{uuid4().hex[:12]}"
    bus.create_topics()
    return str(settings.KAFKA_EVENTS_TOPIC)


@pytest.fixture
def audit_topics(settings: Settings) -> None:
    """Topics of the audit trail of this test alone."""
    own = uuid4().hex[:12]
    settings.KAFKA_AUDIT_HEADS_TOPIC, settings.KAFKA_AUDIT_ENTRIES_TOPIC = f"heads-{own}", f"entries-{own}"
    bus.create_topics()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def process_env(transactional_db: None, topic: str) -> dict[str, str]:
    """The environment with which a process of ours works on this test's database and topic."""
    url = urlsplit(running_services.env["DATABASE_URL"])
    database = urlunsplit(url._replace(path=f"/{connection.settings_dict['NAME']}"))
    return {
        **running_services.env,
        "DATABASE_URL": database,
        "KAFKA_EVENTS_TOPIC": topic,
        "KAFKA_CONSUMER_GROUP": topic,
        "KAFKA_EVENTS_PARTITIONS": str(django_settings.KAFKA_EVENTS_PARTITIONS),
    }


@pytest.fixture
def fleet(process_env: dict[str, str], tmp_path: Path) -> Iterator[Fleet]:
    """Processes of ours; the test starts which it needs, their logs are shown when it fails."""
    with Fleet(tmp_path / "logs", process_env) as running:
        yield running
    for part in running.parts.values():
        print(f"--- {part.name}\n{part.log.read_text()[-3000:]}")


@pytest.fixture(autouse=True)
def fresh_process_state() -> Iterator[None]:
    """What a process keeps between requests must not outlive a test's database."""
    from eventcenter import data_keys, flags, registry
    from subscriptions import routing

    data_keys.forget()
    for followed in (flags.states, registry.schemas, routing.routing, routing.delivery_settings):
        followed.forget()
    yield
    bus.close_outbox_producer(timeout_s=0.5)
    health.forget_clients()
