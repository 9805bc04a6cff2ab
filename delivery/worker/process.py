"""The one runner of a worker process: made when Celery is ready, closed as soon as it is told to stop."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from delivery.health.breakers import Board, HealthTally
from delivery.limiting.limits import Limiter
from delivery.limiting.places import Places
from delivery.telemetry.of_process import WorkerMetrics
from delivery.transports.base import Gate, Transport
from delivery.transports.registry import make_transports
from delivery.worker.admission import Admission
from delivery.worker.recorder import Recorder
from delivery.worker.runner import Runner
from eventcenter import log_context
from eventcenter.metrics_port import MetricsPort
from eventcenter.store import beat
from eventcenter.tracing import switch as tracing
from eventcenter.worker import calm_garbage_collector, instance_name

# The engine's thread gives the GIL up at every libcurl call and must get it back soon: at Python's 5 ms a busy neighbour
# thread made it up to ten times slower than at 0.5 ms.
SWITCH_INTERVAL_S = 0.0005
# Between a lease's renewal and the end of a send that was started just before it.
LEASE_MARGIN_S = 4.0


@dataclass(slots=True)
class WorkerParts:
    """A runner with what it is made of."""

    runner: Runner
    recorder: Recorder
    places: Places
    transports: Mapping[str, Transport]

    def close(self, deadline_s: float) -> None:
        self.runner.close(deadline_s)
        self.places.close()


def assemble(role: str = "worker") -> WorkerParts:
    """A worker's parts, wired: what the recorder learns, the breakers know, and the gate tells the transports."""
    gate = Gate()
    board = Board()
    gate.held = board.held
    places = Places(settings.REDIS_URL, gate)
    recorder = Recorder(HealthTally(board), [places.keep_alive], role)
    gate.may_start = recorder.has_room
    admission = Admission(board, Limiter(settings.REDIS_URL), places)
    transports = make_transports(gate)
    return WorkerParts(Runner(transports, recorder, admission), recorder, places, transports)


class WorkerProcess:
    """The runner of this process, made once and closed once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: WorkerParts | None = None
        self._port: MetricsPort | None = None
        self._closer: threading.Thread | None = None

    def runner(self) -> Runner | None:
        """None once the process is stopping."""
        if self._closer is not None:
            return None
        with self._lock:
            if self._parts is None:
                check_lease()
                sys.setswitchinterval(SWITCH_INTERVAL_S)
                calm_garbage_collector()
                tracing.start(log_context.role() or "worker")
                beat("worker", instance_name())
                self._parts = parts = assemble()
                self._port = MetricsPort("worker", instance_name(), [WorkerMetrics(parts.transports, parts.recorder)])
                self._port.open()
            return self._parts.runner

    def begin_close(self) -> None:
        """What is in flight finishes and is recorded on a thread of its own, the rest goes back at once.

        Takes no lock: it is called in a signal's handler.
        """
        if self._closer is None:
            self._closer = threading.Thread(target=self._close, name="worker-close")
            self._closer.start()

    def _close(self) -> None:
        with self._lock:
            parts, port = self._parts, self._port
        if parts is not None:
            parts.close(settings.WORKER_STOP_DEADLINE_S)
        tracing.stop()
        if port is not None:
            port.close()

    def close(self) -> None:
        self.begin_close()
        assert self._closer is not None
        self._closer.join()


current = WorkerProcess()


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
    current.runner()


@worker_shutting_down.connect
def _stopping(**_: object) -> None:
    current.begin_close()


@worker_shutdown.connect
def _stopped(**_: object) -> None:
    current.close()
