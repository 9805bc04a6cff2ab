"""The base of the long-running commands: it stops soon, tells that it lives, and outlives a database that goes away."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connection

from delivery.bench.processes import MANAGE, Fleet
from eventcenter.models import Heartbeat, OutboxMessage
from eventcenter.worker import WorkerCommand, instance_name, process_shard
from tests.factories import event_id_at
from tests.waiting import eventually

pytestmark = pytest.mark.django_db


class Counting(WorkerCommand):
    """Has so much to do; `on_step` is asked at each step."""

    role = "counting"

    def __init__(self, work: int = 0, on_step: Callable[[int], None] = lambda _: None) -> None:
        super().__init__()
        self.left, self.on_step = work, on_step
        self.calls: list[str] = []

    def open(self) -> None:
        self.calls.append("open")

    def step(self) -> bool:
        self.calls.append("step")
        self.on_step(self.calls.count("step"))
        self.left -= 1
        return self.left > 0

    def close(self) -> None:
        self.calls.append("close")


def run(command: Counting, *options: str) -> None:
    """In a thread, whose signals are not the process's."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            call_command(command, *options)
        except BaseException as error:  # told to the test below
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


@pytest.mark.django_db(transaction=True)
def test_command_ends_when_all_is_done_and_it_runs_once() -> None:
    command = Counting(work=3)

    run(command, "--once")

    assert command.calls == ["open", "step", "step", "step", "close"]
    assert Heartbeat.objects.values_list("role", "instance").get() == ("counting", instance_name())


@pytest.mark.django_db(transaction=True)
def test_command_waits_and_goes_on_when_there_is_nothing_to_do() -> None:
    command = Counting(on_step=lambda number: command.stopping.set() if number == 3 else None)
    command.idle_wait_s = 0.01

    run(command)

    assert command.calls == ["open", *["step"] * 3, "close"]


@pytest.mark.django_db(transaction=True)
def test_command_does_not_wait_out_its_pause_when_it_is_stopped_in_it() -> None:
    command = Counting()
    command.idle_wait_s = 3_600
    stopper = threading.Thread(target=lambda: eventually(lambda: "step" in command.calls) and command.stopping.set())
    stopper.start()

    run(command)

    stopper.join()
    assert command.calls[-1] == "close"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
def test_command_goes_on_when_the_database_was_away(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventcenter.worker.AFTER_ERROR_S", 0.01)

    def fail_first(number: int) -> None:
        if number == 1:
            raise error

    command = Counting(work=2, on_step=fail_first)

    run(command, "--once")

    assert command.calls == ["open", *["step"] * 3, "close"]


@pytest.mark.django_db(transaction=True)
def test_command_gets_a_new_connection_when_its_own_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventcenter.worker.AFTER_ERROR_S", 0.01)

    def use_database(number: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backends.append(cursor.fetchone()[0])
            if number == 1:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    backends: list[int] = []
    command = Counting(work=2, on_step=use_database)

    run(command, "--once")

    assert len(backends) == 3
    assert backends[0] != backends[1] == backends[2]


@pytest.mark.django_db(transaction=True)
def test_command_closes_and_fails_when_a_step_has_a_bug() -> None:
    def fail(_: int) -> None:
        raise ZeroDivisionError

    command = Counting(on_step=fail)

    with pytest.raises(ZeroDivisionError):
        run(command, "--once")

    assert command.calls == ["open", "step", "close"]


@pytest.mark.django_db(transaction=True)
def test_life_is_told_again_when_the_last_sign_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventcenter.worker.BEAT_EVERY_S", 0)
    seen: list[Any] = []
    command = Counting(work=2, on_step=lambda _: seen.append(Heartbeat.objects.get().seen_at))

    run(command, "--once")

    assert seen[0] < seen[1]


def test_command_stops_when_the_signal_comes(restored_signals: None) -> None:
    def interrupt(number: int) -> None:
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    command = Counting(work=1_000, on_step=interrupt)

    call_command(command)

    assert command.calls[-1] == "close"
    assert command.left > 900


def test_shard_fits_its_column() -> None:
    assert 0 <= process_shard() < 2**15


@pytest.mark.kafka
@pytest.mark.django_db(transaction=True)
def test_relay_process_lives_and_ends_when_it_is_told_to(fleet: Fleet) -> None:
    OutboxMessage.objects.create(
        id=event_id_at(datetime(2020, 1, 1, tzinfo=UTC)), key="acme|p", body=b"{"
    )  # a row that it cannot send
    part = fleet.start("relay", [*MANAGE, "relay_outbox"])
    eventually(lambda: Heartbeat.objects.filter(role="relay", instance__endswith=f":{part.process.pid}").exists())

    part.process.send_signal(signal.SIGTERM)

    assert part.process.wait(10) == 0
    assert OutboxMessage.objects.count() == 1
