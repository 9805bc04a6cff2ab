"""The one runner of a worker process: made when Celery is ready, closed when it stops."""

from __future__ import annotations

import threading

from celery.signals import worker_ready, worker_shutdown

from delivery.transports.registry import make_transports
from delivery.worker.recorder import Recorder
from delivery.worker.runner import Runner

CLOSE_DEADLINE_S = 6.0  # make run promises to stop within 10 s

_lock = threading.Lock()
_runner: Runner | None = None


def runner() -> Runner:
    global _runner
    with _lock:
        if _runner is None:
            _runner = Runner(make_transports(), Recorder())
        return _runner


@worker_ready.connect
def _open(**_: object) -> None:
    """Before the first task, so that an idle worker's heartbeat is seen."""
    runner()


@worker_shutdown.connect
def _close(**_: object) -> None:
    """Celery has stopped taking tasks: finish what is in flight and record it."""
    global _runner
    with _lock:
        closing, _runner = _runner, None
    if closing is not None:
        closing.close(CLOSE_DEADLINE_S)
