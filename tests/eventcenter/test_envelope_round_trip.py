"""Any event comes out of every form as it went in, and no bytes make a parser do anything but answer."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Callable
from datetime import UTC
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventcenter.envelope import (
    Envelope,
    EnvelopeError,
    FieldProblem,
    canonical_text,
    parse_batch,
    parse_binary,
    parse_kafka,
    parse_structured,
    split_structured,
    to_binary_headers,
    to_kafka,
    to_structured,
)

NONCHARACTERS = [chr(plane * 0x10000 + low) for plane in range(17) for low in (0xFFFE, 0xFFFF)]
NONCHARACTERS += [chr(code) for code in range(0xFDD0, 0xFDF0)]
CHARACTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters=NONCHARACTERS)
TEXT = st.text(CHARACTERS, min_size=1, max_size=40)
RESERVED = {*Envelope.__struct_fields__, "specversion", "data"}
NAMES: st.SearchStrategy[str] = st.text("abyz019", min_size=1, max_size=20).filter(lambda name: name not in RESERVED)
SOURCES = st.from_regex(r"/[A-Za-z0-9._~!$&'()*+,;=:@-]{0,30}(#[a-z]{1,5})?", fullmatch=True)
TAGS = st.lists(st.from_regex(r"[A-Za-z0-9._:/-]{1,64}", fullmatch=True), max_size=8, unique=True).map(tuple)
TRACES = st.from_regex(r"00-[1-9a-f][0-9a-f]{31}-[1-9a-f][0-9a-f]{15}-0[01]", fullmatch=True)
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def json_texts(draw: st.DrawFn) -> bytes:
    value = draw(JSON_VALUES)
    return json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 2]))).encode()


PAYLOADS = st.one_of(
    st.tuples(st.sampled_from(["application/json", "application/vnd.x+json; v=1"]), json_texts() | st.just(b"")),
    st.tuples(st.sampled_from(["application/octet-stream", 'text/plain; charset="utf-8"']), st.binary(max_size=60)),
)


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    content_type, data = draw(PAYLOADS)
    return Envelope(
        id=draw(TEXT),
        source=draw(SOURCES),
        type=draw(TEXT),
        subject=draw(st.none() | TEXT),
        time=draw(st.none() | st.datetimes(timezones=st.just(UTC))),
        datacontenttype=content_type,
        dataschema=draw(st.none() | st.just("https://schemas.example/t/1.json#a")),
        tenant=draw(st.none() | st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True)),
        tags=draw(TAGS),
        traceparent=draw(st.none() | TRACES),
        idempotencykey=draw(st.none() | TEXT),
        partitionkey=draw(st.none() | TEXT),
        extensions=draw(st.dictionaries(NAMES, TEXT | st.booleans() | st.integers(-(2**31), 2**31 - 1), max_size=4)),
        data=data,
    )


def as_headers_hold_it(envelope: Envelope) -> Envelope:
    """Headers are text: an extension's type does not survive them, its canonical string form does."""
    extensions = {name: canonical_text(value) for name, value in envelope.extensions.items()}
    return msgspec.structs.replace(envelope, extensions=extensions)


@given(envelopes())
def test_an_event_is_the_same_after_the_structured_form(envelope: Envelope) -> None:
    body = to_structured(envelope)

    assert parse_structured(body) == envelope
    assert to_structured(parse_structured(body)) == body
    assert json.loads(body)["specversion"] == "1.0"


@given(envelopes())
def test_data_stands_in_the_structured_form_byte_for_byte(envelope: Envelope) -> None:
    body = to_structured(envelope)

    assert envelope.data in body or base64.b64encode(envelope.data) in body


@given(st.lists(envelopes(), max_size=3))
def test_a_batch_is_the_same_after_the_structured_form(events: list[Envelope]) -> None:
    assert parse_batch(b"[" + b", ".join(map(to_structured, events)) + b"]") == events


@given(envelopes())
def test_an_event_is_the_same_after_binary_http(envelope: Envelope) -> None:
    headers = to_binary_headers(envelope)

    assert len(dict(headers)) == len(headers)
    assert all(re.fullmatch(r"ce-[a-z0-9]+", name) and re.fullmatch(r"[!-~]+", value) for name, value in headers)
    sent = {**dict(headers), "content-type": envelope.datacontenttype}
    assert parse_binary(sent, envelope.data) == as_headers_hold_it(envelope)


@given(envelopes())
def test_an_event_is_the_same_after_kafka(envelope: Envelope) -> None:
    headers, value = to_kafka(envelope)

    assert parse_kafka(headers, value) == as_headers_hold_it(envelope)
    assert parse_kafka([("content-type", b"application/cloudevents+json")], to_structured(envelope)) == envelope


@given(envelopes())
def test_the_structured_form_splits_into_binary_mode(envelope: Envelope) -> None:
    expected = (to_binary_headers(envelope), envelope.datacontenttype, envelope.data)

    assert split_structured(to_structured(envelope)) == expected


def test_equal_events_give_equal_bytes_whatever_the_order_they_were_sent_in() -> None:
    first = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","b":"2","a":"1"}'
    second = (
        b'{"a":"1","type":"t","b":"2","source":"/s", "id":"1","specversion":"1.0","datacontenttype":"application/json"}'
    )

    assert to_structured(parse_structured(first)) == to_structured(parse_structured(second))


def problems_of(parse: Callable[..., Envelope], *arguments: object) -> list[FieldProblem]:
    try:
        parse(*arguments)
    except EnvelopeError as error:
        return error.problems
    return []


JSON_LIKE = st.text('{}[]":,\\u0aetnx1. \n', max_size=60).map(str.encode)


@given(st.binary(max_size=80) | JSON_LIKE)
def test_any_bytes_are_an_event_or_a_named_problem(body: bytes) -> None:
    for parse in (parse_structured, parse_batch):
        with contextlib.suppress(EnvelopeError):
            parse(body)


@given(st.dictionaries(TEXT, JSON_VALUES, max_size=4))
def test_any_members_are_an_event_or_named_problems(members: dict[str, Any]) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", **members}

    found = problems_of(parse_structured, json.dumps(event).encode())
    assert all(problem.field and problem.field.isprintable() for problem in found)


@given(
    st.lists(st.tuples(st.text(max_size=8) | st.just("ce_id"), st.none() | st.binary(max_size=20)), max_size=6),
    st.binary(),
)
def test_any_kafka_message_is_an_event_or_named_problems(headers: list[tuple[str, bytes | None]], value: bytes) -> None:
    for marked in (headers, [*headers, ("ce_specversion", b"1.0"), ("ce_source", b"/s"), ("ce_type", b"t")]):
        assert all("\0" not in str(problem) for problem in problems_of(parse_kafka, marked, value))


@given(
    st.dictionaries(st.text(max_size=8).map("ce-".__add__), st.text(max_size=20), max_size=5), st.binary(max_size=20)
)
def test_any_headers_are_an_event_or_named_problems(headers: dict[str, str], body: bytes) -> None:
    with contextlib.suppress(EnvelopeError):
        parse_binary(headers, body)
