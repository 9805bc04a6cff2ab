"""An OpenTelemetry collector: takes OTLP over HTTP on loopback and gives what it got as plain spans.

with Collector() as collector:
    ...  # processes with OTEL_EXPORTER_OTLP_ENDPOINT=collector.url
    [span] = collector.wait_for("delivery send")
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.waiting import eventually


@dataclass(frozen=True)
class Got:
    """One span; ids in hex, "" for none. `links`: (trace id, span id)."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    is_error: bool
    resource: dict[str, Any] = field(repr=False)


class Collector:
    def __init__(self) -> None:
        self._spans: list[Got] = []
        collector = self

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                collector._spans += decoded(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="collector", daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def spans(self) -> list[Got]:
        return list(self._spans)

    def wait_for(self, name: str, count: int = 1, where: Callable[[Got], bool] = lambda _: True) -> list[Got]:
        """Those of that name, once there are so many."""

        def found() -> list[Got] | None:
            matching = [span for span in self.spans if span.name == name and where(span)]
            return matching if len(matching) >= count else None

        return eventually(found, timeout=20)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def decoded(body: bytes) -> list[Got]:
    """The spans of one export request."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Got(
            name=span.name,
            kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            attributes=_plain(span.attributes),
            links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
            is_error=span.status.code == span.status.STATUS_CODE_ERROR,
            resource=_plain(of_process.resource.attributes),
        )
        for of_process in request.resource_spans
        for scope in of_process.scope_spans
        for span in scope.spans
    ]


def _plain(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    return getattr(pair.value, kind) if kind else None
