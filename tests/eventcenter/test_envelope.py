"""What an event must be, whichever way it comes in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial

import pytest

from eventcenter.envelope import (
    Envelope,
    EnvelopeError,
    FieldProblem,
    effective_idempotency_key,
    parse_binary,
    parse_kafka,
    parse_structured,
    partition_key,
    to_kafka,
    to_structured,
)
from tests.eventcenter.wire import FULL, KAFKA, binary, problems_of, structured, wrong_fields


def test_every_attribute_is_read_when_all_are_sent() -> None:
    envelope = parse_structured(json.dumps(FULL).encode())

    assert envelope == Envelope(
        id="rel-2.4.1",
        source="/pipelines/release/main",
        type="plugin.release.published",
        subject="plugins/payments-gateway",
        time=datetime(2025, 11, 5, 12, 0, 0, 123456, tzinfo=UTC),
        dataschema="https://schemas.event-center.example/plugin.release.published/1.json",
        tenant="acme",
        tags=("stable", "region:eu"),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        idempotencykey="rel-payments-2.4.1",
        partitionkey="payments",
        data=b'{"plugin_id": "payments-gateway"}',
    )


def test_optional_attributes_are_unset_when_left_out_or_null() -> None:
    assert parse_structured(structured()) == parse_structured(
        structured(subject=None, time=None, region=None, data_base64=None)
    )


def test_all_wrong_fields_are_named_when_several_are_wrong() -> None:
    body = structured(id="", type=5, time="yesterday", tenant="ACME", Region="eu", data_base64="?", source=...)

    assert sorted(wrong_fields(body)) == ["Region", "data_base64", "id", "source", "tenant", "time", "type"]


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
@pytest.mark.parametrize("absent", [..., None])
def test_a_required_attribute_is_named_once_when_it_is_missing(name: str, absent: object) -> None:
    assert problems_of(lambda: parse_structured(structured(**{name: absent}))) == [(name, "is required")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("specversion", "1.1"),
        ("specversion", 1.0),
        ("id", ""),
        ("id", "x" * 513),
        ("id", "a\u0000b"),
        ("id", "a\nb"),
        ("id", "a\u0085b"),
        ("id", "a\uffffb"),
        ("id", "a\U0001fffeb"),
        ("id", 7),
        ("source", "not a uri"),
        ("source", "/é"),
        ("source", "/%zz"),
        ("source", "1:x"),
        ("type", ["a"]),
        ("subject", "x" * 513),
        ("time", "2025-11-05T12:00:00"),
        ("time", "2025-11-05"),
        ("time", "2025-02-30T12:00:00Z"),
        ("time", "9999-12-31T23:59:59-01:00"),
        ("time", 1762344000),
        ("datacontenttype", "json"),
        ("datacontenttype", "text/plain\r\nx-evil: 1"),
        ("datacontenttype", "application/cloudevents+json"),
        ("dataschema", "/relative/1.json"),
        ("tenant", "a_b"),
        ("tenant", "x" * 64),
        ("tenant", "acme\n"),
        ("tags", ["stable"]),
        ("tags", "a,,b"),
        ("tags", "a,b c"),
        ("tags", "x" * 65),
        ("tags", ",".join(f"t{number}" for number in range(33))),
        ("idempotencykey", "x" * 513),
        ("partitionkey", ""),
        ("region", 1.5),
        ("region", 2**31),
        ("region", {"a": 1}),
        ("region", "a\u0000"),
        ("Region", "eu"),
        ("re_gion", "eu"),
        ("r" * 21, "eu"),
        ("", "eu"),
    ],
)
def test_the_field_is_named_when_its_value_is_wrong(name: str, value: object) -> None:
    assert wrong_fields(structured(**{name: value})) == [name]


@pytest.mark.parametrize(
    ("name", "value", "held"),
    [
        ("id", "x" * 512, "x" * 512),
        ("id", "ünïcödé 😀", "ünïcödé 😀"),
        ("source", "1-555-123-4567", "1-555-123-4567"),
        ("source", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"),
        ("time", "2025-11-05t14:00:00+02:00", datetime(2025, 11, 5, 12, tzinfo=UTC)),
        ("time", "2025-11-05T12:00:00.123456789Z", datetime(2025, 11, 5, 12, 0, 0, 123457, tzinfo=UTC)),
        ("tags", "b, a,b", ("b", "a")),
        ("tags", "", ()),
    ],
)
def test_the_value_is_held_when_it_is_at_a_rules_edge(name: str, value: str, held: object) -> None:
    assert getattr(parse_structured(structured(**{name: value})), name) == held


@pytest.mark.parametrize(
    "value",
    [
        "junk",
        5,
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
    ],
)
def test_the_event_goes_on_without_a_trace_when_traceparent_is_malformed(value: object) -> None:
    assert parse_structured(structured(traceparent=value)).traceparent is None


def test_traceparent_is_kept_when_its_version_is_a_later_one() -> None:
    later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"

    assert parse_structured(structured(traceparent=later)).traceparent == later


def test_other_attributes_are_extensions_of_their_own_type() -> None:
    envelope = parse_structured(structured(region="eu", attempt=5, dry=True))

    assert envelope.extensions == {"region": "eu", "attempt": 5, "dry": True}


def test_the_event_is_refused_when_it_has_too_many_extensions() -> None:
    most = {f"x{number}": "y" for number in range(40)}

    assert len(parse_structured(structured(**most, tenant="acme", region=None)).extensions) == 40
    assert wrong_fields(structured(**most, region="eu")) == ["body"]
    assert wrong_fields(structured(**most, **{f"z{number}": "y" for number in range(5_000)})) == ["body"]
    headers = [*KAFKA, *((f"ce_x{number}", b"y") for number in range(70))]
    assert [field for field, _ in problems_of(lambda: parse_kafka(headers, b""))] == ["body"]


def test_our_own_attributes_are_refused_from_anybody_else() -> None:
    assert wrong_fields(structured(eventcenterid="1")) == ["eventcenterid"]
    assert [field for field, _ in problems_of(lambda: parse_binary(binary(eventcenterid="1"), b""))] == [
        "eventcenterid"
    ]


def test_the_bus_takes_an_accepted_event_with_our_own_attribute_added() -> None:
    envelope = parse_structured(structured(**{f"x{number}": "y" for number in range(40)}))
    headers, value = to_kafka(envelope)

    assert len(parse_kafka([*headers, ("ce_eventcenterid", b"1")], value).extensions) == 41


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nope",
        b"[]",
        b'"x"',
        b"null",
        b"{",
        b"{}x",
        b'{"id":"\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"data":01}',
        b'{"id":"\\ud800"}',
    ],
)
def test_the_body_is_named_when_it_is_no_json_object(body: bytes) -> None:
    assert wrong_fields(body) == ["body"]


@pytest.mark.parametrize("shape", ["data", "region"])
def test_deep_nesting_is_refused_whatever_the_depth(shape: str) -> None:
    for depth in (70, 900, 200_000):
        body = structured(**{shape: 1}).replace(b": 1}", b": " + b"[" * depth + b"]" * depth + b"}")
        assert problems_of(partial(parse_structured, body))[0][1].startswith("must not nest")


def test_nesting_is_taken_up_to_the_limit_and_no_deeper() -> None:
    def event(depth: int) -> bytes:
        # brackets inside strings and side by side are no depth
        inner = b'{"k":[],"s":"[[[[\\"[[\\\\"}'
        wide = b",".join([b"[]"] * 200)
        return structured(data=1).replace(
            b": 1}", b": " + b"[" * (depth - 2) + inner + b"," + wide + b"]" * (depth - 2) + b"}"
        )

    assert parse_structured(event(64)).data.startswith(b"[[")
    assert wrong_fields(event(65)) == ["body"]


@pytest.mark.parametrize(
    ("members", "repeated"),
    [
        ('"id":"b"', ["id"]),
        ('"data":1,"data":{"id":"c"}', ["data"]),
        ('"region":"a","region":"a"', ["region"]),
        ('"subject":"a\\"b","\\u0069d":"b"', ["id"]),
        ('"subject":null,"subject":"x"', ["subject"]),
    ],
)
def test_a_repeated_member_is_refused_by_name(members: str, repeated: list[str]) -> None:
    assert wrong_fields(structured()[:-1] + b"," + members.encode() + b"}") == repeated


def test_escaped_quotes_are_no_repeated_member() -> None:
    envelope = parse_structured(structured(subject='say "id"', data={"id": 'a"b'}))

    assert envelope.subject == 'say "id"'
    assert json.loads(envelope.data) == {"id": 'a"b'}


def test_json_data_is_kept_byte_for_byte() -> None:
    raw = b'{"b" : 1.50, "a":[1 ,2],\n"c":"\\u00e9\xc3\xa9"}'
    body = structured(data=1).replace(b'"data": 1', b'"data":  ' + raw + b" ")

    assert parse_structured(body).data == raw
    assert raw in to_structured(parse_structured(body))


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({"data": None}, b"null"),
        ({}, b""),
        ({"data": "text"}, b'"text"'),
        ({"data": "<a/>", "datacontenttype": "application/xml"}, b"<a/>"),
        ({"data": None, "datacontenttype": "text/plain"}, b""),
        ({"data": {"a": 1}, "datacontenttype": "application/vnd.x+json; charset=utf-8"}, b'{"a": 1}'),
        ({"data_base64": "AP8=", "datacontenttype": "application/octet-stream"}, b"\x00\xff"),
        ({"data_base64": "IHsiYSI6MX0K"}, b'{"a":1}'),
    ],
)
def test_data_is_read_by_its_content_type(changes: dict[str, object], data: bytes) -> None:
    assert parse_structured(structured(**changes)).data == data


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"data": 1, "data_base64": "AA=="}, "data"),
        ({"data": {"a": 1}, "datacontenttype": "text/plain"}, "data"),
        ({"data": "é", "datacontenttype": "text/plain; charset=latin-1"}, "data"),
        ({"data_base64": "AP8="}, "data_base64"),
        ({"data_base64": "AP8", "datacontenttype": "image/png"}, "data_base64"),
        ({"data_base64": 5}, "data_base64"),
        ({"data": {"a": "b\u0000"}}, "data"),
    ],
)
def test_data_is_named_when_it_does_not_fit_its_content_type(changes: dict[str, object], field: str) -> None:
    assert wrong_fields(structured(**changes)) == [field]


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    body = structured(data=1).replace(b'"data": 1', b'"data": "\\\\u0000"')

    assert parse_structured(body).data == b'"\\\\u0000"'


def test_problems_are_cut_when_there_are_too_many_to_read() -> None:
    error = EnvelopeError(FieldProblem("id", "is required", index) for index in range(1_500))

    assert len(error.problems) == 1_000
    assert error.left_out == 500


def test_a_made_up_name_is_told_in_printable_characters() -> None:
    assert wrong_fields(structured(**{"a\u0000b" * 50: "x"})) == ["a\\x00b" * 21 + "a"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, "/pipelines/release/main rel-2.4.1"),
        ({"idempotencykey": "once"}, "once"),
    ],
)
def test_the_idempotency_key_is_the_extension_or_source_and_id(changes: dict[str, object], key: str) -> None:
    assert effective_idempotency_key(parse_structured(structured(**changes))) == key


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, "|rel-2.4.1"),
        ({"tenant": "acme", "subject": "s"}, "acme|s"),
        ({"tenant": "acme", "subject": "s", "partitionkey": "p"}, "acme|p"),
    ],
)
def test_the_partition_key_is_the_tenant_and_what_orders(changes: dict[str, object], key: str) -> None:
    assert partition_key(parse_structured(structured(**changes))) == key
