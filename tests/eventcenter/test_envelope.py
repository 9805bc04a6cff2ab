"""What an event must be, whichever way it comes in."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from eventcenter.envelope import (
    Envelope,
    EnvelopeError,
    FieldProblem,
    effective_idempotency_key,
    parse_batch,
    parse_binary,
    parse_kafka,
    parse_structured,
    partition_key,
    to_structured,
)

FULL: dict[str, object] = {
    "specversion": "1.0",
    "id": "rel-2.4.1",
    "source": "/pipelines/release/main",
    "type": "plugin.release.published",
    "subject": "plugins/payments-gateway",
    "time": "2025-11-05T12:00:00.123456Z",
    "datacontenttype": "application/json",
    "dataschema": "https://schemas.event-center.example/plugin.release.published/1.json",
    "tenant": "acme",
    "tags": "stable,region:eu",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "idempotencykey": "rel-payments-2.4.1",
    "partitionkey": "payments",
    "data": {"plugin_id": "payments-gateway"},
}
SMALL: dict[str, object] = {name: FULL[name] for name in ("specversion", "id", "source", "type")}


def structured(**changes: object) -> bytes:
    """The small event with members set, or left out where the value is `...`."""
    members = {**SMALL, **changes}
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


def problems_of(parse: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.raises(EnvelopeError) as caught:
        parse()
    return [(problem.field, problem.message) for problem in caught.value.problems]


def wrong_fields(body: bytes) -> list[str]:
    return [field for field, _ in problems_of(lambda: parse_structured(body))]


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
    assert parse_structured(structured()) == parse_structured(structured(subject=None, time=None, region=None, data_base64=None))


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


def test_the_event_is_refused_when_it_has_too_many_attributes() -> None:
    assert wrong_fields(structured(**{f"x{number}": "y" for number in range(70)})) == ["body"]
    headers = [(f"ce_x{number}", b"y") for number in range(70)]
    assert [field for field, _ in problems_of(lambda: parse_kafka(headers, b""))] == ["body"]


@pytest.mark.parametrize(
    "body",
    [b"", b"nope", b"[]", b'"x"', b"null", b"{", b"{}x", b'{"id":"\xff"}', b"\xef\xbb\xbf{}", b'{"data":01}', b'{"id":"\\ud800"}'],
)
def test_the_body_is_named_when_it_is_no_json_object(body: bytes) -> None:
    assert wrong_fields(body) == ["body"]


@pytest.mark.parametrize("shape", ["data", "region"])
def test_deep_nesting_is_refused_whatever_the_depth(shape: str) -> None:
    for depth in (70, 900, 200_000):
        body = structured(**{shape: 1}).replace(b": 1}", b": " + b"[" * depth + b"]" * depth + b"}")
        assert problems_of(lambda body=body: parse_structured(body))[0][1].startswith("must not nest")


def test_nesting_is_taken_up_to_the_limit_and_no_deeper() -> None:
    def event(depth: int) -> bytes:
        # brackets inside strings and side by side are no depth
        inner = b'{"k":[],"s":"[[[[\\"[[\\\\"}'
        wide = b",".join([b"[]"] * 200)
        return structured(data=1).replace(b": 1}", b": " + b"[" * (depth - 2) + inner + b"," + wide + b"]" * (depth - 2) + b"}")

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


def test_problems_are_cut_when_there_are_too_many_to_read() -> None:
    error = EnvelopeError(FieldProblem("id", "is required", index) for index in range(1_500))

    assert len(error.problems) == 1_000
    assert error.left_out == 500


def test_a_made_up_name_is_told_in_printable_characters() -> None:
    assert wrong_fields(structured(**{"a\u0000b" * 50: "x"})) == [("a\\x00b" * 22)[: len("a\\x00b" * 21) + 1]]


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


def binary(**changes: str) -> dict[str, str]:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "Content-Type": "application/json"}
    return {**headers, **{f"ce-{name}": value for name, value in changes.items()}}


def test_binary_headers_are_read_in_any_case() -> None:
    headers = {"CE-SpecVersion": "1.0", "Ce-Id": "1", "cE-Source": "/s", "ce-type": "t", "CONTENT-TYPE": "text/plain"}

    assert parse_binary(headers, b"hi") == Envelope(id="1", source="/s", type="t", datacontenttype="text/plain", data=b"hi")


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


KAFKA = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t")]


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
