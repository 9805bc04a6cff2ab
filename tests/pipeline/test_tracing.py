"""One trace from the publish request to the receiver, through real processes, as a collector gets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivery.bench.processes import Fleet
from eventcenter.models import Event
from tests.fakes.collector import Collector, Got
from tests.fakes.receiver import Answer, Receiver
from tests.pipeline.publisher import TRACE, Publisher

pytestmark = pytest.mark.kafka
TRACE_ID, CALLER = TRACE.split("-")[1:3]


@pytest.fixture
def collector(process_env: dict[str, str]) -> Iterator[Collector]:
    """Every process of the fleet is told of it. Without batching: a test has no time for that."""
    with Collector() as running:
        process_env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": running.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        process_env |= {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"}
        yield running


def by_name(collector: Collector, trace_id: str) -> dict[str, Got]:
    return {span.name: span for span in collector.spans if span.trace_id == trace_id}


def test_trace_leads_from_the_request_to_the_receiver_when_a_release_is_published(
    collector: Collector,
    publisher: Publisher,
    receiver: Receiver,
    topic: str,
    fleet: Fleet,
) -> None:
    receiver.script("/ci", Answer(503), Answer(204))
    first = publisher.publish(traceparent=None, tags=None)
    own = publisher.publish()
    receiver.wait_for(3, timeout=30)

    collector.wait_for("delivery send", 3)
    new_id = str(Event.objects.get(pk=first.json()["events"][0]["id"]).traceparent).split("-")[1]
    spans = by_name(collector, new_id)
    server, send, process, plan = (
        spans[name]
        for name in (
            "POST /internal/events/publish",
            f"send {topic}",
            f"process {topic}",
            "plan",
        )
    )
    assert (server.kind, send.kind, process.kind, plan.kind) == ("server", "producer", "consumer", "internal")
    assert server.parent_id == ""
    assert (send.parent_id, process.parent_id, plan.parent_id) == (server.span_id, send.span_id, process.span_id)
    attempts = [span for span in collector.spans if span.name == "delivery send" and span.trace_id == new_id]
    assert {span.parent_id for span in attempts} == {server.span_id}

    # What a receiver was told is the very span of its attempt.
    told = {request.header("traceparent") for request in receiver.requests}
    everything = [span for span in collector.spans if span.name == "delivery send"]
    assert told == {f"00-{span.trace_id}-{span.span_id}-01" for span in everything}
    failed = [span for span in everything if span.is_error]
    assert [(span.attributes["http.response.status_code"], span.attributes["error.type"]) for span in failed] == [
        (503, "503")
    ]

    assert own.status_code == 202
    of_caller = by_name(collector, TRACE_ID)
    assert of_caller["delivery send"].parent_id == of_caller[f"send {topic}"].parent_id == CALLER
    roles = {span.resource["event_center.role"] for span in collector.spans}
    assert {"web", "consumer", "worker"} <= roles
    assert server.resource["service.name"] == "event-center"
    assert server.resource["deployment.environment.name"] == "test"
    assert first.headers["x-request-id"] == server.attributes["event_center.request.id"]
    for part in fleet.parts.values():
        part.stop()
    for part in fleet.parts.values():
        every_line_is_json(part.log)


def every_line_is_json(log: Path) -> None:
    """But for Celery's word to a terminal, on standard output, which no logging goes through."""
    lines = [line for line in log.read_text().splitlines() if not line.startswith("worker: ") and line]
    assert all(json.loads(line)["role"] for line in lines)
