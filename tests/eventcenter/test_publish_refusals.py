"""What the publish API refuses: a problem that names each wrong field, and nothing kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventcenter.intake import MAX_BATCH_EVENTS, MAX_BODY_BYTES, MAX_EVENT_BYTES
from eventcenter.models import EventType
from tests.eventcenter.sender import (
    BATCH,
    STRUCTURED,
    URL,
    Sender,
    accepted,
    event,
    refused,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": ...}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": ...}, "id"),
        ({"id": 5}, "id"),
        ({"id": "a\0b"}, "id"),
        ({"id": "a\ud800"}, "body"),
        ({"id": "x" * 513}, "id"),
        ({"source": "no uri"}, "source"),
        ({"source": None}, "source"),
        ({"type": ...}, "type"),
        ({"subject": "\x1f"}, "subject"),
        ({"time": "yesterday"}, "time"),
        ({"time": "9999-12-31T23:59:59-23:59"}, "time"),
        ({"datacontenttype": "text/plain", "data": "x"}, "datacontenttype"),
        ({"dataschema": "https://x.example/plugin.release.published/99.json"}, "dataschema"),
        ({"tenant": "ACME"}, "tenant"),
        ({"tags": "a b"}, "tags"),
        ({"idempotencykey": ""}, "idempotencykey"),
        ({"Region": "eu"}, "Region"),
        ({"number": 1.5}, "number"),
        ({"eventcenterid": "0" * 32}, "eventcenterid"),
        ({"data": ...}, "data"),
        ({"data": None}, "data"),
        ({"data_base64": "e30="}, "data"),
        ({"data": ..., "data_base64": "e30"}, "data_base64"),
    ],
)
def test_field_is_named_when_it_is_wrong(sender: Sender, changes: dict[str, Any], field: str) -> None:
    assert refused(sender.structured(event(**changes)), 400, "invalid-event") == [(field, None)]


def test_every_wrong_field_is_named_with_its_index_when_a_batch_has_several(sender: Sender) -> None:
    response = sender.batch([event(id=""), event(), event(time="x", source=...), 5])

    assert sorted(refused(response, 400, "invalid-event")) == [("body", 3), ("id", 0), ("source", 2), ("time", 2)]


def test_data_is_named_by_path_and_index_when_a_batch_breaks_the_schema(sender: Sender) -> None:
    wrong = event()
    wrong["data"] |= {"version": 5, "artifact": {"digest": "x", "url": "https://a.example"}}

    named = refused(sender.batch([event(), wrong]), 400, "invalid-event")

    assert sorted(named) == [("data.artifact.digest", 1), ("data.version", 1)]


def test_wrong_header_is_named_when_the_mode_is_binary(sender: Sender) -> None:
    attributes = {"specversion": "1.0", "id": "%zz", "source": "/p", "type": "plugin.release.published"}

    assert refused(sender.binary(attributes, b"{}"), 400, "invalid-event") == [("id", None)]


def test_type_is_refused_when_it_is_not_registered(sender: Sender) -> None:
    EventType.objects.filter(name="plugin.release.withdrawn").update(active=False)
    response = sender.batch([event(), event(type="no.such"), event(type="plugin.release.withdrawn", data={})])

    assert refused(response, 422, "unknown-type") == [("type", 1), ("type", 2)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"5",
        b'"text"',
        b"[]",
        b"\xff\xfe",
        b'{"id": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"NaN",
        b'{"id": NaN}',
        b'{"specversion":"1.0","specversion":"1.0"}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"data":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
        b"{}{}",
        b"\0",
    ],
)
@pytest.mark.parametrize("content_type", [STRUCTURED, BATCH])
def test_body_is_refused_when_it_is_no_event(sender: Sender, body: bytes, content_type: str) -> None:
    if content_type == BATCH and body == b"[]":
        return

    assert refused(sender.post(body, content_type), 400, "invalid-event")


@pytest.mark.parametrize(
    "data",
    [
        '{"a":"\\u0000"}',
        '{"a":"\\ud800"}',
        '{"\\udfff":1}',
        "1e999",
        '{"a":' * 65 + "1" + "}" * 65,
        '{"version":1,"version":2}',
    ],
)
def test_data_is_refused_when_it_could_not_be_kept_as_it_is(sender: Sender, data: str) -> None:
    body = json.dumps(event(data=0)).replace('"data": 0', f'"data": {data}')
    attributes = {"specversion": "1.0", "id": "1", "source": "/p", "type": "plugin.release.published"}

    assert refused(sender.post(body.encode()), 400, "invalid-event")
    assert refused(sender.binary(attributes, data.encode()), 400, "invalid-event")


# --- What is too much, or not to be read at all ------------------------------------------------------------------------


def test_batch_is_refused_when_it_has_one_event_too_many(sender: Sender) -> None:
    refused(sender.batch([event() for _ in range(MAX_BATCH_EVENTS + 1)]), 413, "too-large")


def test_body_is_refused_when_it_is_too_large(sender: Sender) -> None:
    refused(sender.post(b" " * (MAX_BODY_BYTES + 1), BATCH), 413, "too-large")


def test_body_is_taken_when_it_is_just_as_large_as_may_be(sender: Sender) -> None:
    body = json.dumps([event()]).encode()

    accepted(sender.post(body + b" " * (MAX_BODY_BYTES - len(body)), BATCH))


def test_event_is_refused_and_named_when_its_data_is_too_large(sender: Sender) -> None:
    large = event()
    large["data"]["padding"] = "x" * MAX_EVENT_BYTES

    assert refused(sender.batch([event(), large]), 413, "too-large") == [("data", 1)]
    assert refused(sender.structured(large), 413, "too-large") == [("data", None)]


@pytest.mark.parametrize("length", ["", "0", "-5"])
def test_request_is_refused_when_its_length_says_that_it_has_no_body(sender: Sender, length: str) -> None:
    body = json.dumps(event()).encode()

    refused(sender.post(body, CONTENT_LENGTH=length), 401, "unauthorized")
    refused(sender.post(body, signing=sender.sign(b""), CONTENT_LENGTH=length), 400, "invalid-event")


def test_length_is_asked_for_when_the_body_comes_in_chunks(sender: Sender) -> None:
    response = sender.post(json.dumps(event()).encode(), CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked")

    refused(response, 411, "length-required")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "", "application/x-www-form-urlencoded", "application/cloudevents+avro", "é"],
)
def test_media_type_is_refused_when_no_mode_takes_it(sender: Sender, content_type: str) -> None:
    refused(sender.post(json.dumps(event()).encode(), content_type), 415, "unsupported-media-type")


def test_other_methods_are_refused_with_a_problem(sender: Sender) -> None:
    response = sender.client.get(URL, headers=sender.sign(b""))

    refused(response, 405, "method-not-allowed")
    assert response["Allow"] == "POST"


def test_nothing_is_kept_when_the_last_event_of_a_full_batch_is_wrong(sender: Sender) -> None:
    events = [event() for _ in range(MAX_BATCH_EVENTS - 1)]

    assert refused(sender.batch([*events, event(id="")]), 400, "invalid-event") == [("id", MAX_BATCH_EVENTS - 1)]
