"""The one runner of a worker process: made when Celery is ready, closed when it stops."""

from __future__ import annotations

import sys
import threading

from celery.signals import worker_ready, worker_shutdown
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from delivery.transports.registry import make_transports
from delivery.worker.recorder import Recorder
from delivery.worker.runner import Runner
from eventcenter.worker import calm_garbage_collector

CLOSE_DEADLINE_S = 6.0  # make run promises to stop within 10 s
# The engine's thread gives the GIL up at every libcurl call and must get it back soon: at Python's 5 ms a busy neighbour
# thread made it up to ten times slower than at 0.5 ms.
SWITCH_INTERVAL_S = 0.0005
# Between a lease's renewal and the end of a send that was started just before it.
LEASE_MARGIN_S = 4.0

_lock = threading.Lock()
_runner: Runner | None = None


def runner() -> Runner:
    global _runner
    with _lock:
        if _runner is None:
            check_lease()
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            calm_garbage_collector()
            recorder = Recorder()
            _runner = Runner(make_transports(recorder.has_room), recorder)
        return _runner


def check_lease() -> None:
    """Raises ImproperlyConfigured when a dispatch could be taken over while its worker is still sending."""
    least = settings.WEBHOOK_MAX_TIMEOUT_S + LEASE_MARGIN_S
    if least > settings.DISPATCH_LEASE_S:
        raise ImproperlyConfigured(
            f"DISPATCH_LEASE_S is {settings.DISPATCH_LEASE_S}; it takes at least WEBHOOK_MAX_TIMEOUT_S"
            f" ({settings.WEBHOOK_MAX_TIMEOUT_S}) + {LEASE_MARGIN_S:g} seconds."
        )


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
