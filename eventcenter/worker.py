"""The base of the long-running commands: a loop of steps that stops within a second, and a heartbeat that readiness reads."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, connection
from prometheus_client.registry import Collector

from eventcenter import log_context, store
from eventcenter.metrics_port import MetricsPort
from eventcenter.tracing import switch as tracing

logger = logging.getLogger(__name__)

BEAT_EVERY_S = 2.0
GC_OBJECTS = 50_000
AFTER_ERROR_S = 1.0


def instance_name() -> str:
    """host:pid of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def calm_garbage_collector() -> None:
    """Leave what the start-up made alone for good, and look for cycles more rarely.

    The hot paths make tens of thousands of short-lived objects a second and no cycles; at Python's thresholds the
    collector took an eighth of the consumer's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, 20, 20)


def process_shard() -> int:
    """A small number of this process: counters are kept a row a shard, so that writers do not wait for each other."""
    return os.getpid() & 0x7FFF


class WorkerCommand(BaseCommand):
    """Subclasses set `role` and implement `step()`; `open()` and `close()` frame the loop.

    A lost database connection ends the step, not the process: it is logged, closed, and tried again after a second.
    """

    role: str
    idle_wait_s = 1.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stopping = threading.Event()
        self._beat_at = float("-inf")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="Work off what is there now, then end (cron, tests).")

    def open(self) -> None:
        """Called once before the first step."""

    def step(self) -> bool:
        """Do one bounded piece of work (well below a second when idle). True: there is more to do at once."""
        raise NotImplementedError

    def close(self) -> None:
        """Called once after the last step, also after an error."""

    def collectors(self) -> Iterable[Collector]:
        """What METRICS_PORT serves of this process besides its memory and CPU; asked on other threads, after `open()`."""
        return ()

    def handle(self, *args: Any, **options: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stopping.set())
        log_context.set_role(self.role)
        tracing.start(self.role)
        self.open()
        port = MetricsPort(self.role, instance_name(), self.collectors())
        if not options["once"]:
            port.open()
        calm_garbage_collector()
        try:
            self.run(once=bool(options["once"]))
        finally:
            port.close()
            self.close()
            tracing.stop()

    def run(self, once: bool) -> None:
        while not self.stopping.is_set():
            more = self.guarded_step()
            if once and not more:
                return
            if not more:
                self.stopping.wait(self.idle_wait_s)

    def guarded_step(self) -> bool:
        try:
            self.beat_if_due()
            return self.step()
        except (OperationalError, InterfaceError):
            logger.exception("worker.database_lost", extra={"role": self.role})
            connection.close()
            self.stopping.wait(AFTER_ERROR_S)
            return True

    def beat_if_due(self) -> None:
        if time.monotonic() - self._beat_at >= BEAT_EVERY_S:
            store.beat(self.role, instance_name())
            self._beat_at = time.monotonic()
