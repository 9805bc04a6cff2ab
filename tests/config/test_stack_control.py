"""The line by which a command stops, crashes and starts the services it runs with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from config.stack.control import Control
from config.stack.ports import Ports
from config.stack.postgres import Postgres
from config.stack.valkey import Valkey
from delivery.chaos.services import ServiceControl, ServiceError


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    part = Postgres(tmp_path, Ports(tmp_path / "ports.json").get("postgres"), "secret", lasting=False)
    part.start()
    yield part
    part.stop()
    part.destroy()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    part = Valkey(tmp_path, Ports(tmp_path / "ports.json").get("valkey"))
    yield part
    part.stop()


@contextmanager
def told(control: Control) -> Iterator[ServiceControl]:
    services = ServiceControl(os.dup(control.fileno))
    try:
        yield services
    finally:
        services.close()
        control.close()


def test_service_is_started_and_stopped_when_it_is_told(valkey: Valkey) -> None:
    with told(Control({"redis": valkey})) as services:
        services.start("redis")
        valkey.probe()
        services.stop("redis")
        assert not valkey.is_running()
        services.start("redis")
        services.crash("redis")
        assert not valkey.is_running()


def test_what_was_committed_is_kept_when_postgres_crashes(postgres: Postgres) -> None:
    with told(Control({"postgres": postgres})) as services:
        with psycopg.connect(postgres.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")

        services.crash("postgres")
        services.start("postgres")
        assert "not properly shut down" in postgres.child.log.read_text()

        with psycopg.connect(postgres.url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (7,)


def test_other_side_is_told_when_it_asks_for_what_there_is_not(valkey: Valkey) -> None:
    with told(Control({"redis": valkey})) as services:
        with pytest.raises(ServiceError, match="stop oracle: KeyError"):
            services.stop("oracle")
        services.start("redis")  # the line goes on
        valkey.probe()


def test_command_is_told_when_the_services_are_gone(valkey: Valkey) -> None:
    control = Control({"redis": valkey})
    services = ServiceControl(os.dup(control.fileno))
    control.close()
    with pytest.raises(ServiceError, match="the services are gone"):
        services.stop("redis")
    services.close()
