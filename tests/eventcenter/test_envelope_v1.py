"""The v1 form holds every event that CloudEvents holds, refuses what is wrong by its own names, and is what its schema says."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcenter.envelope import (
    V1_CONTENT_TYPE,
    Envelope,
    EnvelopeError,
    FieldProblem,
    in_v1_words,
    is_v1_message,
    parse_kafka,
    parse_structured,
    parse_v1,
    parse_v1_batch,
    structured_to_v1,
    to_kafka,
    to_structured,
    to_v1,
)
from tests.eventcenter.test_envelope_round_trip import JSON_LIKE, JSON_VALUES, TEXT, envelopes

SCHEMA = Path(__file__).parents[2] / "docs" / "standards" / "events" / "event-envelope-v1.schema.json"
VALIDATOR = jsonschema_rs.Draft202012Validator(json.loads(SCHEMA.read_text()), validate_formats=True)

EVENT: dict[str, Any] = {
    "event": "plugin.release.published",
    "version": 1,
    "event_id": "release-4711",
    "source": "/pipelines/release",
    "occurred_at": "2025-11-05T12:00:00Z",
    "tenant": "acme",
    "subject": "payments-gateway",
    "tags": ["stable", "region:eu"],
    "idempotency_key": "payments-gateway/2.4.1",
    "attributes": {"region": "eu", "priority": 5},
    "payload": {"version": "2.4.1"},
}


def encoded(**changes: Any) -> bytes:
    """EVENT with changes; `...` leaves a member out."""
    return json.dumps({name: value for name, value in (EVENT | changes).items() if value is not ...}).encode()


def problems(body: bytes) -> dict[str, str]:
    with pytest.raises(EnvelopeError) as refused:
        parse_v1(body)
    return {problem.field: problem.message for problem in refused.value.problems}


@given(envelopes())
def test_an_event_is_the_same_after_the_v1_form(envelope: Envelope) -> None:
    body = to_v1(envelope)

    assert parse_v1(body) == envelope
    assert structured_to_v1(to_structured(envelope)) == body
    assert envelope.data == b"" or json.loads(body).keys() & {"payload", "payload_base64"}


@given(envelopes())
def test_what_is_sent_as_v1_is_what_the_schema_says(envelope: Envelope) -> None:
    assert VALIDATOR.is_valid(json.loads(to_v1(envelope)))


@given(st.lists(envelopes(), max_size=3))
def test_a_batch_is_the_same_after_the_v1_form(events: list[Envelope]) -> None:
    assert parse_v1_batch(b"[" + b", ".join(map(to_v1, events)) + b"]") == events


@given(envelopes())
def test_a_kafka_message_is_read_as_v1_when_it_is_marked_or_has_its_shape(envelope: Envelope) -> None:
    body = to_v1(envelope)

    for headers in ([("content-type", V1_CONTENT_TYPE.encode())], [("content-type", b"application/json")], []):
        assert is_v1_message(headers, body)
        assert parse_kafka(headers, body) == envelope


@given(envelopes())
def test_a_kafka_message_is_not_read_as_v1_when_it_is_a_cloudevent(envelope: Envelope) -> None:
    assert not is_v1_message(*to_kafka(envelope))
    assert not is_v1_message([], to_structured(envelope))


@given(st.binary(max_size=80) | JSON_LIKE | st.dictionaries(TEXT, JSON_VALUES, max_size=4).map(lambda v: encoded(**v)))
def test_any_bytes_are_a_v1_event_or_named_problems(body: bytes) -> None:
    for parse in (parse_v1, parse_v1_batch):
        with contextlib.suppress(EnvelopeError):
            parse(body)


def test_members_become_attributes_one_by_one() -> None:
    assert parse_v1(encoded()) == parse_structured(
        b'{"specversion":"1.0","id":"release-4711","source":"/pipelines/release","type":"plugin.release.published",'
        b'"subject":"payments-gateway","time":"2025-11-05T12:00:00Z","tenant":"acme","tags":"stable,region:eu",'
        b'"idempotencykey":"payments-gateway/2.4.1","region":"eu","priority":5,"data":{"version": "2.4.1"}}'
    )


WRONG = [
    ({"event": ...}, "event", "is required"),
    ({"event_id": ""}, "event_id", "must not be empty; leave it out instead"),
    ({"source": "no uri"}, "source", 'must be a URI reference (RFC 3986) such as "/pipelines/release"'),
    ({"version": ...}, "version", "is required"),
    ({"version": 2}, "version", "must be the number 1, the envelope's version"),
    ({"version": True}, "version", "must be the number 1, the envelope's version"),
    ({"version": "1"}, "version", "must be the number 1, the envelope's version"),
    ({"occurred_at": "yesterday"}, "occurred_at", "must be an RFC 3339 time"),
    ({"tags": "stable,eu"}, "tags", "must be an array of at most 32 tags"),
    ({"tags": ["a,b"]}, "tags", "must be an array of at most 32 tags"),
    ({"tags": [""]}, "tags", "must be an array of at most 32 tags"),
    ({"tags": [f"t{number}" for number in range(33)]}, "tags", "must be an array of at most 32 tags"),
    ({"attributes": ["region"]}, "attributes", "must be an object"),
    ({"attributes": {"Region": "eu"}}, "attributes.Region", "is no attribute name"),
    ({"color": "red"}, "color", "is no member of the v1 envelope"),
    ({"payload_base64": "e30="}, "payload", "must not stand beside payload_base64"),
    ({"schema": "1.json"}, "schema", "must be an absolute URI"),
]
# What no schema can see: names that the table of attributes has, base64, one member by another.
WRONG_BEYOND_THE_SCHEMA = [
    ({"attributes": {"type": "x"}}, "attributes.type", "has a member of its own"),
    ({"attributes": {"eventcenterid": "x"}}, "attributes.eventcenterid", "is Event Center's own attribute"),
    ({"payload": ..., "payload_base64": "?"}, "payload_base64", "must be base64"),
    ({"content_type": "nothing", "payload": "x"}, "content_type", "must be a media type"),
    ({"content_type": "text/plain"}, "payload", "must be a string when content_type is not a JSON type"),
]


@pytest.mark.parametrize(("changes", "field", "message"), [*WRONG, *WRONG_BEYOND_THE_SCHEMA])
def test_a_wrong_member_is_named_by_its_v1_name(changes: dict[str, Any], field: str, message: str) -> None:
    found = problems(encoded(**changes))

    assert list(found) == [field]
    assert found[field].startswith(message)


@pytest.mark.parametrize("changes", [changes for changes, _, _ in WRONG])
def test_the_schema_refuses_what_the_parser_refuses(changes: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(json.loads(encoded()))
    assert not VALIDATOR.is_valid(json.loads(encoded(**changes)))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"event":"t","event":"u","version":1,"event_id":"1","source":"/s"}', "event"),
        (b'{"event":"t","version":1,"event_id":"1","source":"/s","attributes":{"a":1,"a":2}}', "a"),
        (b"[1]", "body"),
        (b"{", "body"),
        (b"\xff", "body"),
        (b'{"event":' + b"[" * 100 + b"]" * 100 + b"}", "body"),
    ],
)
def test_what_is_no_object_or_says_things_twice_is_refused(body: bytes, field: str) -> None:
    assert list(problems(body)) == [field]


def test_every_wrong_member_is_told_at_once() -> None:
    assert set(problems(encoded(event=..., version=3, tags="a", occurred_at="x", color=1))) == {
        "event",
        "version",
        "tags",
        "occurred_at",
        "color",
    }


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("data", "payload"),
        ("data.artifact.digest", "payload.artifact.digest"),
        ("data[0].a", "payload[0].a"),
        ("dataschema", "schema"),
        ("type", "event"),
        ("tenant", "tenant"),
        ("region", "attributes.region"),
        ("body", "body"),
    ],
)
def test_places_are_told_in_v1_words(field: str, told: str) -> None:
    assert in_v1_words(FieldProblem(field, "must be right", 3)) == FieldProblem(told, "must be right", 3)
