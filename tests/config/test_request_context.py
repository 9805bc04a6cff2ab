"""The request's id and trace: in its answer, in every line of the log while it is served, and in problem details."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest
from django.test import Client

from config.logs import InContext
from eventcenter import log_context
from eventcenter.log_context import NOTHING, Serving

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOWHERE = "/internal/events/nowhere"


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """As the handler of production sees them."""
    kept: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    handler = Keep()
    handler.addFilter(InContext())
    logging.getLogger().addHandler(handler)
    yield kept
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("given", ["from-proxy.1", "A" * 64, "3f2c:1_2"])
def test_answer_has_the_callers_id_when_it_can_be_one(given: str) -> None:
    assert Client().get("/healthz", headers={"x-request-id": given})["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "A" * 65, "a b", "a\r\nset-cookie: b=1", "ä", "<script>", '"'])
def test_answer_has_an_id_of_ours_when_the_callers_cannot_be_one(given: str) -> None:
    answer = Client().get("/healthz", headers={"x-request-id": given})

    assert re.fullmatch("[0-9a-f]{32}", answer["X-Request-ID"])


def test_every_request_has_an_id_of_its_own_when_nobody_gave_one() -> None:
    first, second = (Client().get("/healthz")["X-Request-ID"] for _ in range(2))

    assert first != second


@pytest.mark.django_db
def test_log_and_problem_name_the_request_when_it_is_refused(records: list[logging.LogRecord]) -> None:
    headers = {"x-request-id": "r-1", "traceparent": TRACE, "authorization": "Bearer ak_0000.nobody"}

    answer = Client().get("/internal/events/events", headers=headers)

    assert (answer.status_code, json.loads(answer.content)["request_id"]) == (401, "r-1")
    lines = {record.getMessage(): record for record in records}
    ours = lines["api.key_refused"]
    assert (ours.request_id, ours.trace_id) == ("r-1", TRACE[3:35])  # type: ignore[attr-defined]
    djangos = next(record for record in records if record.name == "django.request")
    assert (djangos.request_id, djangos.trace_id) == ("r-1", TRACE[3:35])  # type: ignore[attr-defined]


@pytest.mark.django_db
def test_problem_names_the_request_when_there_is_no_view() -> None:
    answer = Client().get(NOWHERE)

    assert json.loads(answer.content)["request_id"] == answer["X-Request-ID"]


def test_malformed_trace_is_not_in_the_log_when_a_caller_sends_one(records: list[logging.LogRecord]) -> None:
    Client().get(NOWHERE, headers={"traceparent": "00-nonsense"})

    assert records
    assert not any(hasattr(record, "trace_id") for record in records)


def test_thread_serves_nothing_when_its_request_is_over() -> None:
    Client().get("/healthz")

    assert log_context.serving() == NOTHING
    assert "request_id" not in log_context.fields()


def test_records_own_fields_stay_when_the_request_has_such_too() -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "event", None, None)
    record.trace_id = "of the event"

    with log_context.entered(Serving("r-2", TRACE)):
        InContext().filter(record)

    assert (record.trace_id, record.request_id) == ("of the event", "r-2")  # type: ignore[attr-defined]
