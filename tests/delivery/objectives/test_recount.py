"""The report from counters equals a recount of the rows."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from delivery.models import Attempt, DeliveryCounter, DuplicateSend
from delivery.objectives.reading import last_days, read
from delivery.objectives.recount import differences, recount
from delivery.objectives.report import Goal
from delivery.telemetry import sums
from delivery.telemetry.hours import roll_up
from delivery.telemetry.sums import EPOCH, FOREVER
from subscriptions.models import Tenant
from tests.delivery.objectives.load import Load
from tests.delivery.worker.desk import Desk, Make
from tests.fakes.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)


def test_report_equals_a_recount_after_a_mixed_load_in_every_window(
    new_desk: Callable[[], Desk], make: Make, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    load = Load(new_desk, make, receiver)
    load.run()
    load.move_back(timedelta(minutes=50))
    load.run()
    load.replay_all()
    load.move_back(timedelta(minutes=73))
    load.run()
    load.move_back(timedelta(minutes=1))

    found = sums.total(EPOCH, FOREVER)
    assert differences(EPOCH, FOREVER) == []
    assert min(found.delivered, found.dead, found.retried, found.deferred, found.signature_refused) > 0
    assert (found.duplicates, sum(found.latency_buckets)) == (3, found.delivered - replayed())
    windows_are_equal(seed=1)
    now = timezone.now()
    while roll_up(now):
        pass
    windows_are_equal(seed=2)
    span = last_days(1, now)
    told = read(span)
    assert told.all.sums == found
    assert sum(each.sums.attempts for each in told.tenants) == Attempt.objects.count()
    command_says_so(capsys)


def replayed() -> int:
    return Attempt.objects.filter(outcome="delivered", replay=True).count()


def windows_are_equal(seed: int) -> None:
    """Any two edges: whole minutes, in and between all that happened."""
    dice, now = random.Random(seed), timezone.now().replace(second=0, microsecond=0)
    seen = set()
    for _ in range(40):
        since, until = sorted(now - timedelta(minutes=dice.randrange(-1, 150)) for _ in range(2))
        assert differences(since, until) == []
        seen.add(sums.total(since, until).attempts)
    assert len(seen) >= 4, "windows that hold some of it"


def command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("slo_report", "--days", "1", "--json", "--recount")
    told = json.loads(capsys.readouterr().out)
    assert told["recount"] == {"equal": True, "differences": []}
    assert told["all"]["objectives"][Goal.DUPLICATES.value]["count"] == 3
    call_command("slo_report", "--days", "1", "--recount")
    text = capsys.readouterr().out
    assert "the same" in text
    for tenant in Tenant.objects.all():
        assert tenant.slug in text


def test_command_names_what_differs_when_a_counter_is_wrong(
    new_desk: Callable[[], Desk], make: Make, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    new_desk().deliver(make())
    DeliveryCounter.objects.update(minute=timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=2))
    Attempt.objects.update(recorded_at=timezone.now() - timedelta(minutes=2))
    DeliveryCounter.objects.update(attempts=2)
    with pytest.raises(SystemExit):
        call_command("slo_report", "--recount")
    assert "attempts: counters 2, rows 1" in capsys.readouterr().out


def test_recount_is_refused_when_it_would_need_rows_that_are_gone() -> None:
    with pytest.raises(CommandError, match="below 30"):
        call_command("slo_report", "--days", "30", "--recount")


def test_nothing_is_recounted_when_nothing_happened() -> None:
    assert recount(EPOCH, FOREVER) == {}
    assert not DuplicateSend.objects.exists()
