"""What the ports of real processes serve."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from pytest_django import Settings

from delivery.bench.processes import MANAGE, Fleet, free_port
from delivery.models import Delivery
from delivery.telemetry.catalog import Place, at
from delivery.telemetry.of_process import WorkerMetrics
from eventcenter.metrics_port import MetricsPort
from tests.delivery.telemetry.prometheus import declared, samples
from tests.delivery.worker.desk import Desk, Make, dispatch, ended
from tests.fakes.receiver import Answer, Receiver
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def ask(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def start(fleet: Fleet, name: str) -> int:
    """Returns its port."""
    port = free_port()
    fleet.env |= {"METRICS_PORT": str(port)}
    {
        "consumer": fleet.start_consumer,
        "worker": lambda: fleet.start_worker("worker"),
        "relay": fleet.start_relay,
    }.get(name, lambda: fleet.start(name, [*MANAGE, "run_telemetry"]))()
    return port


def families_of(*places: Place) -> list[tuple[str, str]]:
    return sorted((each.name, each.type.value) for each in at(*places))


def leads(port: int) -> bool:
    return samples(ask(port)).get("event_telemetry_leader") == 1


def end_leader() -> None:
    """Ends the connection that holds the election's lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND classid = (hashtext('delivery.telemetry.election')::bigint & 4294967295)::oid"
        )
        assert cursor.fetchall() == [(True,)]


def test_each_process_serves_what_the_catalog_says_of_it(fleet: Fleet) -> None:
    served = {
        "relay": [Place.PROCESS],
        "consumer": [Place.PROCESS, Place.CONSUMER],
        "worker": [Place.PROCESS, Place.WORKER],
        "telemetry": [Place.PROCESS, Place.DEPLOYMENT, Place.ENDPOINT, Place.TENANT, Place.TELEMETRY],
    }
    ports = {role: start(fleet, role) for role in served}
    for role, places in served.items():
        text = eventually(lambda role=role: ask(ports[role]), timeout=30)  # type: ignore[misc]
        assert sorted(declared(text)) == families_of(*places), role
        assert [key.split()[2] for key in samples(text) if key.startswith("event_process_info ")] == [role]
        assert "process_cpu_seconds_total" in text


def test_another_process_takes_over_when_the_leaders_connection_ends(fleet: Fleet) -> None:
    first = start(fleet, "first")
    eventually(lambda: leads(first), timeout=30)
    second = start(fleet, "second")
    eventually(lambda: ask(second), timeout=30)
    assert not leads(second)
    end_leader()
    eventually(lambda: leads(second), timeout=15)
    eventually(lambda: not leads(first))
    fleet.parts["second"].kill()
    eventually(lambda: leads(first), timeout=15)


@pytest.fixture
def port(settings: Settings) -> int:
    settings.METRICS_PORT = free_port()
    return int(settings.METRICS_PORT)


@pytest.fixture
def serve() -> Iterator[Callable[[MetricsPort], None]]:
    made: list[MetricsPort] = []

    def open_one(one: MetricsPort) -> None:
        made.append(one)
        one.open()

    yield open_one
    for each in made:
        each.close()


def test_worker_tells_what_is_in_flight(
    port: int, desk: Desk, make: Make, receiver: Receiver, serve: Callable[[MetricsPort], None]
) -> None:
    serve(MetricsPort("worker", "host:1", [WorkerMetrics(desk.transports, desk.recorder)]))
    gate = threading.Event()
    receiver.script("/slow", Answer(200, gate=gate))
    delivery: Delivery = make("/slow")
    hint = dispatch([delivery])
    desk.run(hint)
    found = eventually(lambda: _in_flight(port))
    assert found["event_worker_open_dispatches"] == 1
    gate.set()
    ended(hint)
    found = samples(ask(port))
    assert (found["event_worker_in_flight webhook"], found["event_worker_waiting webhook"]) == (0, 0)


def _in_flight(port: int) -> dict[str, float]:
    found = samples(ask(port))
    return found if found.get("event_worker_in_flight webhook") == 1 else {}


def test_nothing_is_served_without_a_port(settings: Settings, serve: Callable[[MetricsPort], None]) -> None:
    settings.METRICS_PORT = 0
    one = MetricsPort("sweep", "host:1")
    serve(one)
    assert one._thread is None


def test_port_is_taken_up_when_it_becomes_free(
    port: int, serve: Callable[[MetricsPort], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("eventcenter.metrics_port.BIND_AGAIN_AFTER_S", 0.05)
    former, latter = MetricsPort("sweep", "host:1"), MetricsPort("sweep", "host:2")
    serve(former)
    eventually(lambda: ask(port))
    serve(latter)
    eventually(lambda: "metrics.port_taken" in caplog.messages)
    former.close()
    eventually(lambda: "event_process_info host:2 sweep" in samples(ask(port)))
