"""The ways an event comes in: batch, binary HTTP, Kafka."""

from __future__ import annotations

import pytest

from eventcenter.envelope import (
    Envelope,
    EnvelopeError,
    parse_batch,
    parse_binary,
    parse_kafka,
)
from tests.eventcenter.wire import KAFKA, binary, problems_of, structured


def test_a_batch_gives_its_events_in_order() -> None:
    body = b"[" + structured(id="a") + b" , " + structured(id="b") + b"]"

    assert [envelope.id for envelope in parse_batch(body)] == ["a", "b"]
    assert parse_batch(b"[]") == []


def test_a_batch_names_the_index_of_every_wrong_event() -> None:
    body = b"[" + structured(id="") + b"," + structured() + b"," + structured(type=..., time="x") + b",5]"

    with pytest.raises(EnvelopeError) as caught:
        parse_batch(body)

    found = [(problem.index, problem.field) for problem in caught.value.problems]
    assert found == [(0, "id"), (2, "time"), (2, "type"), (3, "body")]
    assert str(caught.value.problems[0]).startswith("[0].id: ")


@pytest.mark.parametrize("body", [b"{}", b"", b"[", b"[1,]", b"\xff", b"[" * 100_000 + b"]" * 100_000])
def test_the_body_is_named_when_it_is_no_batch(body: bytes) -> None:
    assert [field for field, _ in problems_of(lambda: parse_batch(body))] == ["body"]


def test_binary_headers_are_read_in_any_case() -> None:
    headers = {"CE-SpecVersion": "1.0", "Ce-Id": "1", "cE-Source": "/s", "ce-type": "t", "CONTENT-TYPE": "text/plain"}

    assert parse_binary(headers, b"hi") == Envelope(
        id="1", source="/s", type="t", datacontenttype="text/plain", data=b"hi"
    )


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("%41b", "Ab"),
        ('"quoted \\"text\\""', 'quoted "text"'),
        ('"a%20b"', "a b"),
        ("%2541", "%41"),
    ],
)
def test_a_header_value_is_unquoted_and_decoded_once(sent: str, held: str) -> None:
    assert parse_binary(binary(subject=sent), b"").subject == held


@pytest.mark.parametrize("sent", ["%C0%A0", "100%", "%zz", "é", "%0d%0aevil:1", "%00", "%ED%A0%80", ""])
def test_a_header_is_named_when_its_value_cannot_be_decoded(sent: str) -> None:
    assert [field for field, _ in problems_of(lambda: parse_binary(binary(subject=sent), b""))] == ["subject"]


@pytest.mark.parametrize(
    ("headers", "body", "field"),
    [
        (binary(datacontenttype="application/json"), b"{}", "datacontenttype"),
        (binary(), b"{", "data"),
        (binary(), b"\xff", "data"),
        (binary(), b"1 2", "data"),
        ({**binary(), "CE-ID": "2"}, b"{}", "id"),
        ({**binary(), "Content-Type": "nonsense"}, b"{}", "datacontenttype"),
        ({**binary(), "Content-Type": "application/cloudevents+json"}, b"{}", "datacontenttype"),
    ],
)
def test_binary_mode_names_what_is_wrong(headers: dict[str, str], body: bytes, field: str) -> None:
    assert [found for found, _ in problems_of(lambda: parse_binary(headers, body))] == [field]


def test_a_missing_content_type_means_json() -> None:
    headers = binary()
    del headers["Content-Type"]

    assert parse_binary(headers, b' {"a": 1}\n').data == b'{"a": 1}'


def test_kafka_binary_mode_takes_utf8_as_it_is() -> None:
    headers = [*KAFKA, ("ce_subject", "100% €".encode()), ("Content-Type", b"application/json"), ("other", b"\xff")]

    assert parse_kafka(headers, b"{}") == Envelope(id="1", source="/s", type="t", subject="100% €", data=b"{}")


@pytest.mark.parametrize(
    "headers",
    [
        [("content-type", b"application/cloudevents+json")],
        [("Content-Type", b"Application/CloudEvents+JSON; charset=UTF-8"), ("ce_id", b"ignored")],
        [],
        None,
        [("unrelated", b"x")],
    ],
)
def test_kafka_structured_mode_is_read_when_marked_or_unmarked(headers: list[tuple[str, bytes | None]] | None) -> None:
    assert parse_kafka(headers, structured()).id == "rel-2.4.1"


@pytest.mark.parametrize(
    ("headers", "value", "fields"),
    [
        ([*KAFKA, ("ce_id", b"2")], b"", ["id"]),
        ([*KAFKA, ("ce_subject", b"\xff")], b"", ["subject"]),
        ([*KAFKA, ("ce_datacontenttype", b"text/plain")], b"", ["datacontenttype"]),
        ([*KAFKA, ("ce_Region", b"eu")], b"", ["Region"]),
        (KAFKA, b"{", ["data"]),
        ([*KAFKA, ("content-type", b"\xff")], b"", ["datacontenttype"]),
        ([("content-type", b"application/cloudevents+avro")], b"", ["content-type"]),
        ([("content-type", b"application/cloudevents-batch+json")], b"[]", ["content-type"]),
        ([("content-type", b"application/json")], b"{}", ["specversion", "id", "source", "type"]),
        (None, b"", ["body"]),
        (None, None, ["body"]),
    ],
)
def test_kafka_messages_are_refused_by_field(
    headers: list[tuple[str, bytes | None]] | None, value: bytes | None, fields: list[str]
) -> None:
    assert [field for field, _ in problems_of(lambda: parse_kafka(headers, value))] == fields


def test_a_kafka_header_without_a_value_is_unset() -> None:
    assert parse_kafka([*KAFKA, ("ce_subject", None), ("content-type", None)], None).subject is None
