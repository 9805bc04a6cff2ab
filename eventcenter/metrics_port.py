"""The port on which a long-running process tells Prometheus about itself; the web process has /metrics instead."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.conf import settings
from django.db import connection
from prometheus_client import GCCollector, PlatformCollector, ProcessCollector, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0
BIND_AGAIN_AFTER_S = 5.0
LOOK_EVERY_S = 0.2  # whether it shall close

WSGIApp = Callable[..., Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is no news."""


class ProcessInfo(Collector):
    """Whose port it is."""

    def __init__(self, role: str, instance: str) -> None:
        self._labels = (role, instance)

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "event_process_info", "1; which process this port belongs to.", labels=("role", "instance")
        )
        family.add_metric(self._labels, 1)
        yield family


class MetricsPort:
    """Serves METRICS_HOST:METRICS_PORT on threads of its own, from `open` to `close`; with METRICS_PORT 0 nothing.

    `collectors` are asked at each scrape. A port that is taken costs a line in the log and a try every five seconds:
    nothing that is delivered waits for it.
    """

    def __init__(self, role: str, instance: str, collectors: Iterable[Collector] = ()) -> None:
        self._registry = CollectorRegistry()
        for make in (ProcessCollector, PlatformCollector, GCCollector):
            make(registry=self._registry)
        for collector in (ProcessInfo(role, instance), *collectors):
            self._registry.register(collector)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        if settings.METRICS_PORT and self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="metrics-port", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """The port is free when this returns. Safe to call twice."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _serve(self) -> None:
        while not self._closing.is_set():
            server = self._bound()
            if server is None:
                self._closing.wait(BIND_AGAIN_AFTER_S)
                continue
            with server:
                server.timeout = LOOK_EVERY_S
                while not self._closing.is_set():
                    server.handle_request()

    def _bound(self) -> WSGIServer | None:
        place = (settings.METRICS_HOST, settings.METRICS_PORT)
        try:
            return make_server(*place, disconnecting(make_wsgi_app(self._registry)), _Server, _Handler)
        except OSError as error:
            logger.error("metrics.port_taken", extra={"host": place[0], "port": place[1], "error": str(error)})
            return None


def disconnecting(app: WSGIApp) -> WSGIApp:
    """Each request has a thread of its own, and so would leave a database connection of its own behind."""

    def answer(environ: Any, start_response: Any) -> Any:
        try:
            return app(environ, start_response)
        finally:
            connection.close()

    return answer
