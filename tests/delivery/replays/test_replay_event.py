"""manage.py replay_event and manage.py run_replays."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from audit.models import AuditEntry
from delivery.management.commands.replay_event import NO_RUNNER
from delivery.models import ReplayJob
from delivery.replays import run
from delivery.replays.criteria import Criteria
from eventcenter.models import Heartbeat
from tests.delivery.replays.desk import many_dead, one, replays_of, running
from tests.factories import DeliveryFactory, SubscriptionFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queues")]


def said(*arguments: str) -> tuple[str, str]:
    """(output, error output) of manage.py replay_event."""
    out, err = StringIO(), StringIO()
    call_command("replay_event", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_all_ended_deliveries_of_an_event_are_replayed() -> None:
    first = one(dead=True)
    second = DeliveryFactory(event=first.event, subscription=SubscriptionFactory(), delivered=True)
    other = one(dead=True)
    out, err = said(str(first.event_id), "--reason", "lost", "--json")
    told = json.loads(out.splitlines()[-1])
    assert (told["state"], told["total"], told["queued"]) == ("running", 2, 0)
    assert NO_RUNNER in err
    run.step(timezone.now() + timedelta(seconds=1))
    assert replays_of([first, second, other]) == [1, 1, 0]
    entry = AuditEntry.objects.get(action="replay.started")
    assert (entry.actor, entry.details["reason"]) == ("system:replay_event", "lost")


def test_runner_that_beats_is_not_missed() -> None:
    Heartbeat.objects.create(role="replays", instance="a:1", seen_at=timezone.now())
    assert NO_RUNNER not in said(str(one(dead=True).event_id))[1]


def test_dry_run_shows_and_keeps_nothing() -> None:
    rows = many_dead(7)
    out, _ = said("--tenant", rows[0].tenant.slug, "--endpoint", rows[0].endpoint.slug, "--dry-run", "--json")
    lines = out.splitlines()
    assert lines[0] == f"7 deliveries: dead, of {rows[0].tenant.slug} / {rows[0].endpoint.slug}"
    assert str(rows[0].pk) in lines[1]
    assert json.loads(lines[-1])["total"] == 7
    assert not ReplayJob.objects.exists()
    assert not AuditEntry.objects.exists()


def test_filters_reach_the_job() -> None:
    of = many_dead(1)[0].subscription
    filters = ["--tenant", of.tenant.slug, "--subscription", of.slug, "--status", "dead", "--status", "cancelled"]
    times = ["--since", "2025-11-05T12:00:00Z", "--until", "2125-11-05T12:00:00Z", "--type", "a.b", "--rate", "7"]
    said(*filters, *times)
    job = ReplayJob.objects.get()
    assert job.rate_per_s == 7
    assert job.criteria == {
        "tenant": of.tenant_id,
        "subscription": of.pk,
        "status": ["dead", "cancelled"],
        "types": ["a.b"],
        "since": "2025-11-05T12:00:00Z",
        "until": "2125-11-05T12:00:00Z",
    }


def test_gap_is_what_the_endpoint_missed() -> None:
    row = many_dead(1)[0]
    said("--endpoint", str(row.endpoint_id), "--gap", "--since", "2025-11-05T12:00:00Z")
    job = ReplayJob.objects.get()
    assert (job.tenant_id, job.total) == (row.tenant_id, 1)
    assert job.criteria["status"] == ["dead", "cancelled"]
    assert job.criteria["ended_since"] == "2025-11-05T12:00:00Z"
    assert "since" not in job.criteria


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Say what to replay"),
        (["x"], "event: must be a UUID"),
        ([str(uuid4())], "There is no event"),
        (["--tenant", "nobody"], "tenant: is not known"),
        (["--endpoint", "ci-cd"], "endpoint: is a slug, which needs a tenant"),
        (["--status", "dead", "--since", "now"], "since: must be an ISO 8601 time"),
        (["--status", "dead", "--rate", "0"], "rate_per_s: must be from"),
        (["--gap"], "--gap takes --endpoint and --since"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        said(*arguments)
    assert not ReplayJob.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_progress_is_shown_until_the_end_when_it_waits() -> None:
    rows = many_dead(3)
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.wait(0.02):
                run.step(timezone.now())
        finally:
            connection.close()

    runner = threading.Thread(target=work)
    runner.start()
    try:
        out, _ = said("--tenant", rows[0].tenant.slug, "--wait")
    finally:
        stop.set()
        runner.join()
    assert out.splitlines()[-1] == "  done: 3 replayed, 0 skipped of 3"


@pytest.fixture
def restored_signals() -> Iterator[None]:
    """A command of ours takes the process's signals; the test run wants them back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_runner_steps_once(restored_signals: None) -> None:
    rows = many_dead(2)
    running_since = timezone.now() - timedelta(seconds=1)
    job = running(Criteria(tenant_id=rows[0].tenant_id), now=running_since)
    ReplayJob.objects.update(until=timezone.now())
    call_command("run_replays", "--once")
    job.refresh_from_db()
    assert (job.state, job.queued) == ("done", 2)
    assert Heartbeat.objects.filter(role="replays").exists()


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("replay_event", "--help")
    assert "manage.py replay_event --tenant acme --endpoint ci-cd --gap" in capsys.readouterr().out
