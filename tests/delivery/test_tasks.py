from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from delivery.models import Attempt, Delivery, Dispatch
from delivery.states import DeliveryStatus
from delivery.tasks import run_dispatch
from delivery.worker import process
from delivery.worker.process import LEASE_MARGIN_S, check_lease
from tests.delivery.conftest import HintsIn
from tests.delivery.worker.desk import Make, dispatch, ended
from tests.delivery.worker.test_recorder import other_backends, terminate
from tests.fakes.receiver import Receiver


@pytest.fixture
def worker_process(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[process.WorkerProcess]:
    """This process as a Celery worker: its one runner is closed as at shutdown."""
    made = process.WorkerProcess()
    monkeypatch.setattr(process, "current", made)
    yield made
    made.close()


@pytest.mark.usefixtures("worker_process")
def test_hint_is_worked_off_when_it_comes_as_a_task(make: Make, receiver: Receiver) -> None:
    hint = dispatch([make()])
    run_dispatch(hint.dispatch_id, hint.token)
    ended(hint)
    assert Delivery.objects.get().state is DeliveryStatus.DELIVERED
    assert len(receiver.requests) == 1


def test_nothing_is_sent_when_the_task_comes_late(
    make: Make, receiver: Receiver, worker_process: process.WorkerProcess
) -> None:
    hint = dispatch([make()])
    Dispatch.objects.update(token=3)
    run_dispatch(hint.dispatch_id, hint.token)
    worker_process.close()
    assert not receiver.requests
    assert not Attempt.objects.exists()


@pytest.mark.usefixtures("worker_process")
def test_process_goes_on_when_its_other_connections_were_killed(make: Make) -> None:
    first, second = dispatch([make()]), dispatch([make()])
    run_dispatch(first.dispatch_id, first.token)
    ended(first)
    terminate(other_backends())
    run_dispatch(second.dispatch_id, second.token)
    ended(second)
    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}


def test_process_has_one_runner(worker_process: process.WorkerProcess) -> None:
    assert worker_process.runner() is not None
    assert worker_process.runner() is worker_process.runner()


def test_hint_goes_back_at_once_when_its_worker_is_stopping(
    make: Make, receiver: Receiver, worker_process: process.WorkerProcess, hints_in: HintsIn
) -> None:
    hint = dispatch([make()])
    worker_process.close()
    worker_process.close()
    run_dispatch(hint.dispatch_id, hint.token)
    assert hints_in("retry") == [[hint.dispatch_id, hint.token]]
    assert Dispatch.objects.get().token == hint.token
    assert not receiver.requests


def test_start_is_refused_when_a_lease_could_end_during_a_send(settings: Settings) -> None:
    settings.WEBHOOK_MAX_TIMEOUT_S = 20
    settings.DISPATCH_LEASE_S = 20 + LEASE_MARGIN_S - 0.5
    with pytest.raises(ImproperlyConfigured, match="DISPATCH_LEASE_S"):
        check_lease()
    settings.DISPATCH_LEASE_S = 20 + LEASE_MARGIN_S
    check_lease()
