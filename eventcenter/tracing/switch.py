"""Whether this process makes spans. Off, as it is by itself, no code of ours makes an object of OpenTelemetry's.

Read from the environment, by the SDK's own variables (OpenTelemetry specification, "Environment Variable Specification").
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Mapping
from typing import Protocol

from opentelemetry.trace import Tracer

from eventcenter.tracing.w3c import TraceContext

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN = "http/protobuf"
SDK = "eventcenter.tracing.export"  # by name: loading the SDK takes time and memory, for those who trace


class Recording(Protocol):
    """What makes spans and sends them away; eventcenter.tracing.export has the one for production."""

    tracer: Tracer

    def records(self, parent: TraceContext) -> bool:
        """Whether a span below `parent`, which is sampled, would be recorded."""
        ...

    def with_id(self, span_id: int) -> None:
        """The next span that this thread starts gets this id."""
        ...

    def close(self) -> None:
        """Send what is left, within seconds."""
        ...


_recording: Recording | None = None


def recording() -> Recording | None:
    return _recording


def is_on() -> bool:
    return _recording is not None


def is_wanted(environ: Mapping[str, str]) -> bool:
    """An endpoint is named, and nothing else says no. Another protocol than OTLP over HTTP is said, and not used."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if not any(environ.get(name, "").strip() for name in ENDPOINTS):
        return False
    exporters = environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    protocol = next((environ[name].strip() for name in PROTOCOLS if environ.get(name, "").strip()), SPOKEN)
    if protocol != SPOKEN:
        logger.error("tracing.protocol_not_spoken", extra={"protocol": protocol, "takes": SPOKEN})
    return exporters == "otlp" and protocol == SPOKEN


def start(role: str) -> None:
    """Once a process, after its last fork. Does nothing when the environment asks for nothing, or it has been done."""
    if _recording is None and is_wanted(os.environ):
        made: Recording = importlib.import_module(SDK).recording_from_environment(role)
        use(made)


def use(made: Recording | None) -> None:
    """From here on spans go to `made`; None: none are made."""
    global _recording
    _recording = made


def stop() -> None:
    """Before the process ends: what was recorded is sent, if the collector is there."""
    made = recording()
    use(None)
    if made is not None:
        made.close()
