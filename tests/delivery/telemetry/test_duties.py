from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from pytest_django import Settings

from delivery.management.commands.run_telemetry import Command
from delivery.telemetry.catalog import Place, at
from delivery.telemetry.duties import SILENT_FOR, Duty, Roster, TelemetryMetrics, duties, forget_silent
from delivery.telemetry.election import Election
from eventcenter.models import Heartbeat
from tests.delivery.telemetry.prometheus import declared, samples


def refuse(error: type[Exception]) -> Duty:
    def do(now: datetime) -> None:
        raise error("no")

    return Duty("refusing", 60.0, do)


@pytest.fixture
def command(transactional_db: None) -> Iterator[Command]:
    made = Command()
    made.open()
    yield made
    made.close()


def test_duties_are_done_each_after_its_own_time() -> None:
    done: list[str] = []
    roster = Roster(
        [Duty("often", 0.0, lambda now: done.append("often")), Duty("rare", 60.0, lambda now: done.append("rare"))]
    )
    roster.step(timezone.now())
    roster.step(timezone.now())
    assert done == ["often", "rare", "often"]


def test_the_others_go_on_when_one_duty_fails(caplog: pytest.LogCaptureFixture) -> None:
    done: list[datetime] = []
    roster = Roster([refuse(ValueError), Duty("good", 60.0, done.append)])
    with caplog.at_level(logging.ERROR):
        roster.step(timezone.now())
    assert len(done) == 1
    assert [(record.message, record.__dict__["duty"]) for record in caplog.records] == [
        ("telemetry.duty_failed", "refusing")
    ]


def test_a_lost_database_is_raised_for_the_loop_to_connect_again() -> None:
    done: list[datetime] = []
    roster = Roster([refuse(OperationalError), Duty("good", 60.0, done.append)])
    with pytest.raises(OperationalError):
        roster.step(timezone.now())
    assert done == []


def test_metrics_tell_the_leader_its_faults_and_when_a_duty_was_done() -> None:
    roster = Roster([refuse(ValueError), Duty("good", 60.0, lambda now: None)])
    registry = CollectorRegistry()
    registry.register(TelemetryMetrics(roster))
    assert samples(generate_latest(registry).decode())["event_telemetry_leader"] == 0
    roster.is_leader = True
    roster.step(timezone.now())
    text = generate_latest(registry).decode()
    found = samples(text)
    assert sorted(declared(text)) == sorted((each.name, each.type.value) for each in at(Place.TELEMETRY))
    assert found["event_telemetry_leader"] == 1
    assert found["event_telemetry_duty_errors_total refusing"] == 1
    assert 0 <= found["event_telemetry_duty_age_seconds good"] < 5
    assert "event_telemetry_duty_age_seconds refusing" not in found


def test_dogstatsd_is_a_duty_where_there_is_an_agent(settings: Settings) -> None:
    assert "dogstatsd" not in [duty.name for duty in duties()]
    settings.DD_AGENT_HOST = "127.0.0.1"
    assert "dogstatsd" in [duty.name for duty in duties()]


@pytest.mark.django_db
def test_heartbeats_are_forgotten_when_they_are_silent_for_a_day() -> None:
    now = timezone.now()
    for name, silent in (("old", SILENT_FOR + timedelta(minutes=1)), ("new", timedelta(hours=23))):
        Heartbeat.objects.create(role="worker", instance=name, seen_at=now - silent)
    assert forget_silent(now) == 1
    assert Heartbeat.objects.get().instance == "new"


def test_only_the_elected_process_does_its_duties(command: Command) -> None:
    command.roster.duties = [Duty("good", 0.0, lambda now: None)]
    rival = Election("telemetry")
    assert not command.step()
    assert (command.roster.is_leader, command.roster.duties[0].done_at is not None) == (True, True)
    assert rival.won()  # of the same session, where the lock can be had twice: it shows that it can be given back
    rival.give_back()
    command.close()
    assert not command.roster.is_leader
