"""From a bus message to an event or the reason why not: whoever wrote it, the rules are the publish API's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcenter.bus import EVENT_ID_HEADER
from eventcenter.consumer import BusMessage
from eventcenter.decode import ID_AHEAD, Candidate, Rejection, decode
from eventcenter.envelope import Envelope, parse_structured, to_kafka, to_structured
from eventcenter.ids import id_floor, new_id
from eventcenter.models import RejectReason
from eventcenter.publishing import key_digest
from eventcenter.schemas import SchemaSet, load_schemas
from tests.delivery.bus_messages import release

TRACE, OWN = (f"00-{digit * 32}-{digit * 16}-01" for digit in "12")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCHEMAS = SchemaSet(load_schemas(Path(__file__).parents[2] / "config" / "events" / "schemas"))
TENANTS = {"acme": 7}
Headers = Sequence[tuple[str, bytes | None]]


def read(value: bytes, headers: Headers | None = ()) -> Candidate | Rejection:
    message = BusMessage("events", 2, 41, b"key", headers, value)
    return decode(message, SCHEMAS, lambda slug: TENANTS.get(slug or ""), NOW)


def read_event(event: Envelope, *more: tuple[str, bytes]) -> Candidate | Rejection:
    headers, value = to_kafka(event)
    return read(value, [*headers, *more])


def candidate(found: Candidate | Rejection) -> Candidate:
    assert isinstance(found, Candidate), found
    return found


def rejection(found: Candidate | Rejection) -> Rejection:
    assert isinstance(found, Rejection), found
    return found


def test_row_holds_the_event_when_it_is_right() -> None:
    at = datetime(2025, 11, 5, 12, tzinfo=UTC)
    event = release("acme", time=at, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01", extensions={"region": "eu"})

    found = candidate(read_event(event))

    assert found.row._asdict() == {
        "id": found.row.id,
        "tenant_id": 7,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "producer_id": event.id,
        "time": at,
        "tags": "stable,eu",
        "traceparent": event.traceparent,
        "tracestate": "",
        "idempotency_key": f"{event.source} {event.id}",
        "version": "2.4.1",
        "body": to_structured(event),
        "kafka_partition": 2,
        "kafka_offset": 41,
    }
    assert found.digest == key_digest("acme", f"{event.source} {event.id}")
    assert found.envelope == event


def test_row_has_no_nulls_but_the_time_when_the_event_has_only_what_it_must() -> None:
    event = release("acme", subject=None, tags=())

    row = candidate(read_event(event)).row

    assert (row.subject, row.tags, row.time) == ("", "", None)


def test_event_begins_an_unsampled_trace_when_its_producer_gave_none() -> None:
    found = candidate(read_event(release("acme")))

    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", found.row.traceparent)
    assert found.envelope.traceparent == found.row.traceparent
    assert f'"traceparent":"{found.row.traceparent}"'.encode() in found.row.body


@pytest.mark.parametrize(("given", "taken"), [(TRACE.encode(), True), (b"nonsense", False), (b"\xff", False)])
def test_trace_beside_the_event_is_taken_when_its_producer_wrote_it_there(given: bytes, taken: bool) -> None:
    headers, value = to_kafka(release("acme"))

    found = candidate(read(value, [*headers, ("traceparent", given)]))

    assert (found.row.traceparent == TRACE) is taken
    own = candidate(read(value, [*headers, ("ce_traceparent", OWN.encode()), ("traceparent", given)]))
    assert own.row.traceparent == OWN


def test_event_is_the_same_when_it_is_written_in_structured_mode() -> None:
    event = release("acme", traceparent=TRACE)

    found = candidate(read(to_structured(event), [("content-type", b"application/cloudevents+json")]))

    assert found.envelope == event


# --- Our own id --------------------------------------------------------------------------------------------------------


def test_given_id_is_taken_and_goes_no_further_when_the_api_gave_it() -> None:
    given_id = UUID(int=id_floor(NOW).int | (new_id().int & ((1 << 80) - 1)))

    found = candidate(read_event(release("acme"), (EVENT_ID_HEADER, given_id.hex.encode())))

    assert found.row.id == given_id
    assert found.envelope.extensions == {}
    assert b"eventcenter" not in found.row.body


def at(moment: datetime) -> UUID:
    return UUID(int=id_floor(moment).int | (7 << 76) | (2 << 62))


@pytest.mark.parametrize("moment", [NOW - timedelta(days=400), NOW + ID_AHEAD - timedelta(milliseconds=1)])
def test_given_id_is_taken_when_it_is_of_the_past_or_hardly_ahead(moment: datetime) -> None:
    assert candidate(read_event(release("acme"), (EVENT_ID_HEADER, str(at(moment)).encode()))).row.id == at(moment)


@pytest.mark.parametrize(
    "claimed",
    [
        str(at(NOW + ID_AHEAD)),
        str(at(NOW + timedelta(days=400))),
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "f" * 32,
        "0" * 32,
        "286df1ef-2b32-4a53-83fd-00f877682758",
        "00000000-0000-7000-0000-000000000000",
        "7",
        "not an id",
    ],
)
def test_new_id_is_given_when_the_claimed_one_cannot_be_ours(claimed: str) -> None:
    found = candidate(read_event(release("acme"), (EVENT_ID_HEADER, claimed.encode())))

    assert str(found.row.id) != claimed
    assert found.row.id.version == 7
    assert "eventcenterid" not in found.envelope.extensions


# --- Refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"tenant": "globex"}, RejectReason.UNKNOWN_TENANT, "tenant"),
        ({"tenant": None}, RejectReason.UNKNOWN_TENANT, "tenant"),
        ({"type": "no.such"}, RejectReason.UNKNOWN_TYPE, "type"),
        ({"data": b"{}"}, RejectReason.INVALID, "data.version"),
        ({"data": b""}, RejectReason.INVALID, "data"),
        ({"data": b"x", "datacontenttype": "text/plain"}, RejectReason.INVALID, "datacontenttype"),
        ({"dataschema": "https://x.example/a/1.json"}, RejectReason.INVALID, "dataschema"),
        ({"data": release("globex").data}, RejectReason.INVALID, "data.tenant"),
    ],
)
def test_field_is_named_when_the_event_is_wrong(changes: dict[str, Any], reason: RejectReason, field: str) -> None:
    found = rejection(read_event(release("acme", **changes)))

    assert found.reason == reason
    assert f"{field}: " in found.detail
    assert found.tenant == (changes["tenant"] or "" if "tenant" in changes else "acme")


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"", None),
        (b"", ()),
        (b"\xff", ()),
        (b"[]", ()),
        (b"{}", [("content-type", b"application/cloudevents-batch+json")]),
        (b"{}", [("content-type", None)]),
        (b"{}", [("ce_id", b"\xff"), ("ce_\0", b"\0")]),
    ],
)
def test_message_is_unreadable_when_it_is_no_event(value: bytes, headers: Headers | None) -> None:
    found = rejection(read(value, headers))

    assert found.reason == RejectReason.UNREADABLE
    assert found.detail
    assert found.message.value == value


def test_message_is_unreadable_when_the_client_could_not_read_its_headers() -> None:
    event = to_structured(release("acme"))

    found = rejection(read(event, None))

    assert (found.reason, found.headers()) == (RejectReason.UNREADABLE, [])


def test_headers_can_be_written_as_json_whatever_they_hold() -> None:
    headers = [("a", b"text \xc3\xa9"), ("b\0", b"\xff"), ("c", b"nul \0"), ("d", None), ("d", b"again"), ("", b"")]

    written = rejection(read(b"", headers)).headers()

    assert written == [
        ["a", "text é"],
        ["b\ufffd", "base64:/w=="],
        ["c", "base64:bnVsIAA="],
        ["d", ""],
        ["d", "again"],
        ["", ""],
    ]


HEADER_NAMES = st.sampled_from(
    [
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_specversion",
        "ce_tenant",
        "ce_time",
        "ce_tags",
        EVENT_ID_HEADER,
        "content-type",
    ]
) | st.text(max_size=8)


@given(
    value=st.binary(max_size=60) | st.just(to_structured(release("acme"))),
    headers=st.none() | st.lists(st.tuples(HEADER_NAMES, st.none() | st.binary(max_size=40)), max_size=8),
)
def test_message_becomes_an_event_or_a_rejection_whatever_it_holds(
    value: bytes, headers: list[tuple[str, bytes | None]] | None
) -> None:
    found = read(value, headers)

    if isinstance(found, Rejection):
        msgspec.json.encode(found.headers())
        assert found.detail
        found.detail.encode()


@given(name=st.sampled_from(["ce_id", "ce_subject", "ce_time", "ce_tags", "ce_x", EVENT_ID_HEADER]), text=st.binary())
def test_attribute_is_kept_as_it_was_sent_when_it_is_taken(name: str, text: bytes) -> None:
    headers, value = to_kafka(release("acme"))
    changed = [pair for pair in headers if pair[0] != name]

    found = read(value, [*changed, (name, text)])

    if isinstance(found, Candidate):
        assert parse_structured(found.row.body) == found.envelope
