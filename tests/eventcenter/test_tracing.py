"""When spans are made, which, and what is made of the contexts that callers give; in this process, with the real SDK."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanKind

from eventcenter.models import OutboxMessage
from eventcenter.tracing import bus_spans, export, spans, switch, w3c
from eventcenter.tracing.export import PatientExporter
from tests.eventcenter.sender import BATCH, Sender, accepted, event, new_sender
from tests.tracing import context, parent_id, recorded
from tests.waiting import eventually

TRACE_ID, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACE = f"00-{TRACE_ID}-{CALLER}-01"
UNSAMPLED = f"00-{TRACE_ID}-{CALLER}-00"
EVENT_ID = UUID(int=7)
PUBLISH = "POST /internal/events/publish"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.fixture
def sender(event_types: object, topic: str) -> Sender:
    return new_sender()


def contexts() -> list[str]:
    """The trace contexts of the accepted events, oldest first."""
    return [json.loads(bytes(row.body))["traceparent"] for row in OutboxMessage.objects.order_by("id")]


# --- W3C ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        (TRACE, True),
        (UNSAMPLED, False),
        (f"00-{TRACE_ID}-{CALLER}-03", True),
        (f"01-{TRACE_ID}-{CALLER}-09-more", True),
    ],
)
def test_context_is_read_when_a_traceparent_is_right(given: str, flags: bool) -> None:
    found = w3c.parse(given)

    assert found == (int(TRACE_ID, 16), int(CALLER, 16), flags)
    assert w3c.trace_id_of(given) == TRACE_ID
    assert (w3c.parse(""), w3c.trace_id_of(None)) == (None, "")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", True),
        ("fw529a3039@dt=FfAAAA, a=1", True),
        ("a=1,,b=2", True),  # §3.3.1.1: empty members are allowed
        ("", False),
        ("a", False),
        ("A=1", False),
        ("a=1=2", False),
        ("a=1\r\nx: y", False),
        ("a=é", False),
        (",".join(f"a{n}=1" for n in range(33)), False),
        ("a=" + "x" * 256 + ",b=" + "x" * 255, False),
        (7, False),
    ],
)
def test_state_is_passed_on_when_it_is_one(given: object, taken: bool) -> None:
    assert w3c.parse_tracestate(given) == (given if taken else "")


# --- On and off --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
        (
            ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            True,
        ),
    ],
)
def test_tracing_is_on_when_an_endpoint_is_named(environ: dict[str, str], wanted: bool) -> None:
    assert switch.is_wanted(environ) is wanted


def test_sdk_is_not_loaded_when_no_endpoint_is_named() -> None:
    program = (
        "import sys, django; django.setup(); import delivery.worker.process, delivery.ingest\n"
        "from eventcenter.tracing import switch; switch.start('worker')\n"
        "print(switch.is_on(), any(name.startswith('opentelemetry.sdk.trace') for name in sys.modules))"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-W", "ignore", "-c", program]
    said = subprocess.run(argv, cwd=root, env=env | {"DJANGO_SETTINGS_MODULE": "config.settings"}, capture_output=True)

    assert said.stdout.decode().split() == ["False", "False"], said.stderr


def test_process_names_itself_when_the_environment_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    ours = export.resource("consumer").attributes
    assert (ours["service.name"], ours["event_center.role"]) == ("event-center", "consumer")

    monkeypatch.setenv("OTEL_SERVICE_NAME", "releases")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,event_center.role=blue")
    theirs = export.resource("consumer").attributes
    assert [theirs[name] for name in ("service.name", "deployment.environment.name", "event_center.role")] == [
        "releases",
        "prod",
        "blue",
    ]


class Fickle(SpanExporter):
    """An exporter whose collector is there or not, as the test says."""

    is_there = False
    asked = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked += 1
        return SpanExportResult.SUCCESS if self.is_there else SpanExportResult.FAILURE


def test_log_has_one_line_for_each_change_when_the_collector_goes_and_comes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Fickle()
    patient = PatientExporter(inner)
    caplog.set_level(logging.INFO)

    assert [patient.export([]) for _ in range(3)] == [SpanExportResult.FAILURE] * 3
    assert inner.asked == 1  # and not again for a while
    monkeypatch.setattr(export, "ASK_AGAIN_S", -1.0)
    patient._ask_at = 0.0
    patient.export([])
    inner.is_there = True
    assert [patient.export([]) for _ in range(2)] == [SpanExportResult.SUCCESS] * 2
    assert [line.message for line in caplog.records] == ["tracing.collector_away", "tracing.collector_back"]


def test_nothing_waits_when_the_collector_is_away(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real exporter, to a port where nobody listens. More spans than the SDK's queue takes."""
    nobody = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5"}
    for name, value in (nobody | {"OTEL_BSP_SCHEDULE_DELAY": "20"}).items():
        monkeypatch.setenv(name, value)
    switch.start("test")
    assert switch.is_on()

    began = time.monotonic()
    for _ in range(2500):
        spans.end(spans.begin("work", SpanKind.INTERNAL, w3c.parse(TRACE), {}))
    eventually(lambda: "tracing.collector_away" in caplog.messages)
    switch.stop()

    assert time.monotonic() - began < export.CLOSE_S + 10  # the SDK itself would wait for half a minute
    assert caplog.messages == ["tracing.collector_away"]
    assert not switch.is_on()


# --- Publish -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_event_hangs_below_the_request_when_both_are_recorded(sender: Sender) -> None:
    with recorded() as found:
        answer = sender.structured(event(), traceparent=TRACE, x_request_id="from-proxy.1")
        accepted(answer)

    [server] = found.named(PUBLISH)
    assert (server.kind, context(server)[0], parent_id(server)) == (SpanKind.SERVER, TRACE_ID, CALLER)
    assert dict(server.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/internal/events/publish",
        "http.response.status_code": 202,
        "event_center.request.id": "from-proxy.1",
    }
    assert contexts() == [f"00-{TRACE_ID}-{context(server)[1]}-01"]


@pytest.mark.django_db
def test_events_have_own_traces_that_link_to_the_request_when_they_come_as_a_batch(sender: Sender) -> None:
    with recorded() as found:
        accepted(sender.post(json.dumps([event(), event(traceparent=TRACE), event()]).encode(), BATCH))

    [server] = found.named(PUBLISH)
    created = [span for span in found.spans if span.name.startswith("create ")]
    first, second = (f"00-{trace_id}-{span_id}-01" for trace_id, span_id in map(context, created))
    assert contexts() == [first, TRACE, second]
    assert len({context(span)[0] for span in (server, *created)}) == 3
    assert [[link.context.span_id for link in span.links] for span in created] == [[int(context(server)[1], 16)]] * 2


@pytest.mark.django_db
@pytest.mark.parametrize("sampler", [None, ALWAYS_ON])
def test_nothing_is_recorded_when_the_caller_says_so(sender: Sender, sampler: object) -> None:
    with recorded(sampler) as found:  # type: ignore[arg-type]
        accepted(sender.structured(event(), traceparent=UNSAMPLED))

    assert contexts() == [UNSAMPLED]
    assert found.spans == []


@pytest.mark.django_db
def test_trace_is_marked_as_not_recorded_when_the_sampler_leaves_it_out(sender: Sender) -> None:
    with recorded(ParentBased(ALWAYS_OFF)) as found:
        accepted(sender.structured(event()))

    [given] = contexts()
    assert given.endswith("-00")
    assert found.spans == []


# --- The bus -----------------------------------------------------------------------------------------------------------


def test_message_carries_the_spans_context_beside_the_events_when_it_is_recorded() -> None:
    headers = [("ce_traceparent", TRACE.encode()), ("ce_id", b"1")]
    with recorded() as found:
        sent, span = bus_spans.sending(EVENT_ID, "events", headers)
        spans.end(span, "_MSG_TIMED_OUT")

    [produced] = found.named("send events")
    hop = f"00-{TRACE_ID}-{context(produced)[1]}-01"
    assert list(sent) == [*headers, ("traceparent", hop.encode())]
    assert parent_id(produced) == CALLER
    assert (produced.attributes or {})["error.type"] == "_MSG_TIMED_OUT"
    assert bus_spans.parent_of(TRACE, sent) == w3c.parse(hop)
    # A hop of another trace is not the event's.
    assert bus_spans.parent_of(TRACE.replace("0af7", "0af8"), sent) == w3c.parse(TRACE.replace("0af7", "0af8"))


@pytest.mark.parametrize("headers", [[("ce_traceparent", UNSAMPLED.encode())], []])
def test_message_is_as_it_was_when_its_trace_is_not_recorded(headers: list[tuple[str, bytes]]) -> None:
    assert bus_spans.sending(EVENT_ID, "events", headers) == (headers, None)
    with recorded() as found:
        assert bus_spans.sending(EVENT_ID, "events", headers) == (headers, None)
    assert found.spans == []
