from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
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
    roster.elect(True)
    roster.step(timezone.now())
    text = generate_latest(registry).decode()
    found = samples(text)
    assert sorted(declared(text)) == sorted((each.name, each.type.value) for each in at(Place.TELEMETRY))
    assert found["event_telemetry_leader"] == 1
    assert found["event_telemetry_duty_errors_total refusing"] == 1
    assert 0 <= found["event_telemetry_duty_age_seconds good"] < 5


def age_of_refusing(roster: Roster) -> float | None:
    registry = CollectorRegistry()
    registry.register(TelemetryMetrics(roster))
    return samples(generate_latest(registry).decode()).get("event_telemetry_duty_age_seconds refusing")


@pytest.mark.parametrize("error", [ValueError, OperationalError])
def test_age_is_that_of_the_election_when_a_duty_never_succeeds(error: type[Exception]) -> None:
    """Also if each turn loses the connection: the election is then won again, and the age goes on."""
    roster = Roster([refuse(error)])
    roster.elect(True)
    assert roster.elected_at is not None
    roster.elected_at -= 100
    for _ in range(2):
        with suppress(OperationalError):
            roster.step(timezone.now())
        roster.lose()
        assert age_of_refusing(roster) is None
        roster.elect(True)
    assert 100 <= (age_of_refusing(roster) or 0) < 110


def test_age_begins_anew_when_another_process_was_elected_in_between() -> None:
    roster = Roster([Duty("refusing", 0.0, lambda now: None)])
    roster.elect(True)
    roster.step(timezone.now())
    roster.duties[0].done_at = time.monotonic() - 100
    roster.elect(False)
    roster.elect(True)
    assert 0 <= (age_of_refusing(roster) or 0) < 10


def test_rules_get_their_turn_between_the_pieces_of_a_long_duty() -> None:
    done: list[str] = []
    left = [3, 2, 0]

    def piece(now: datetime) -> int:
        done.append("piece")
        return left.pop(0)

    rules = Duty("rules", 0.0, lambda now: done.append("rules"))
    roster = Roster([rules, Duty("hours", 60.0, piece, until_none=True)])
    assert [roster.step(timezone.now()) for _ in range(4)] == [True, True, False, False]
    assert done == ["rules", "piece"] * 3 + ["rules"]


def test_rules_are_the_first_duty_and_hours_come_in_pieces(settings: Settings) -> None:
    settings.DD_AGENT_HOST = "127.0.0.1"
    found = duties()
    assert found[0].name == "rules"
    assert [duty.name for duty in found if duty.until_none] == ["hours"]


@pytest.mark.django_db
def test_evaluator_beats_only_while_passes_succeed() -> None:
    rules, evaluator = duties()[:2]
    evaluator.perform(timezone.now())
    assert not Heartbeat.objects.exists()
    rules.done_at = time.monotonic()
    evaluator.perform(timezone.now())
    assert Heartbeat.objects.get().role == "evaluator"
    Heartbeat.objects.all().delete()
    rules.done_at -= 2 * rules.every_s
    evaluator.perform(timezone.now())
    assert not Heartbeat.objects.exists()


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


def test_duties_have_the_databases_clock_when_this_machines_is_off(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[datetime] = []
    command.roster.duties = [Duty("good", 0.0, times.append)]
    monkeypatch.setattr(timezone, "now", lambda: datetime(2001, 1, 1, tzinfo=UTC))
    command.step()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    assert timedelta() <= now - times[0] < timedelta(seconds=30)
