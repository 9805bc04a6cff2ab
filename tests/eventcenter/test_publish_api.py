"""POST /internal/events/publish, with signatures of the public package: what is taken, and that the rest leaves no trace."""

from __future__ import annotations

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.http import HttpResponse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventcenter.intake import MAX_BATCH_EVENTS, MAX_BODY_BYTES, MAX_EVENT_BYTES
from eventcenter.models import EventType, IdempotencyKey, OutboxMessage, PublishKey
from eventcenter.problems import PROBLEM_JSON
from subscriptions.models import Tenant
from tests.eventcenter.sender import BATCH, STRUCTURED, URL, Sender, event, kept, new_sender
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db


def refused(response: HttpResponse, status: int, kind: str) -> list[tuple[str, int | None]]:
    """The fields and indexes named, after the checks that every refusal passes: a problem, and nothing kept."""
    problem = json.loads(response.content)
    assert (response.status_code, problem["type"]) == (status, f"urn:event-center:problem:{kind}"), problem
    assert response["Content-Type"] == PROBLEM_JSON
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert kept() == (0, 0)
    return [(error["field"], error.get("index")) for error in problem.get("errors", ())]


def accepted(response: HttpResponse) -> list[dict[str, Any]]:
    assert response.status_code == 202, response.content
    assert response["Content-Type"] == "application/json"
    body: dict[str, Any] = json.loads(response.content)
    assert list(body) == ["events"]
    return list(body["events"])


def accepted_one(response: HttpResponse) -> dict[str, Any]:
    (receipt,) = accepted(response)
    return receipt


def stored() -> dict[str, Any]:
    """The one outbox row's event."""
    return dict(json.loads(bytes(OutboxMessage.objects.get().body)))


# --- What is taken ---------------------------------------------------------------------------------------------------


def test_event_is_kept_when_it_comes_in_structured_mode(sender: Sender) -> None:
    sent = event(tags="stable,eu", region="eu-1", tenant="acme")

    receipt = accepted_one(sender.structured(sent))

    assert receipt == {"id": str(OutboxMessage.objects.get().id), "duplicate": False}
    assert UUID(receipt["id"]).version == 7
    assert stored() == sent | {"datacontenttype": "application/json"}
    key = IdempotencyKey.objects.get()
    assert (key.event_id, key.ingested_at) == (UUID(receipt["id"]), None)
    assert OutboxMessage.objects.get().key == "acme|payments-gateway"


def test_event_is_given_its_tenant_when_it_names_none(sender: Sender) -> None:
    accepted(sender.structured(event()))

    assert stored()["tenant"] == "acme"


def test_event_is_kept_when_it_comes_in_binary_mode(sender: Sender) -> None:
    data = json.dumps(event()["data"]).encode()
    attributes = {
        "specversion": "1.0",
        "id": "r-1",
        "source": "/p",
        "type": "plugin.release.published",
        "subject": "pay%20%E2%82%AC",
    }

    receipt = accepted_one(sender.binary(attributes, data))

    assert receipt["duplicate"] is False
    assert (stored()["id"], stored()["subject"], stored()["tenant"]) == ("r-1", "pay €", "acme")
    assert data in bytes(OutboxMessage.objects.get().body)


def test_events_are_kept_in_order_when_they_come_as_a_batch(sender: Sender) -> None:
    sent = [event() for _ in range(3)]

    receipts = accepted(sender.batch(sent))

    bodies = {str(row.id): json.loads(bytes(row.body))["id"] for row in OutboxMessage.objects.all()}
    assert [bodies[receipt["id"]] for receipt in receipts] == [each["id"] for each in sent]
    assert [receipt["duplicate"] for receipt in receipts] == [False] * 3


def test_empty_batch_is_taken_and_keeps_nothing(sender: Sender) -> None:
    assert accepted(sender.batch([])) == []
    assert kept() == (0, 0)


def test_batch_is_kept_when_it_has_as_many_events_as_may_be(sender: Sender) -> None:
    receipts = accepted(sender.batch([event() for _ in range(MAX_BATCH_EVENTS)]))

    assert len({receipt["id"] for receipt in receipts}) == MAX_BATCH_EVENTS
    assert kept() == (MAX_BATCH_EVENTS, MAX_BATCH_EVENTS)


def test_other_charsets_and_parameters_of_the_media_type_are_no_obstacle(sender: Sender) -> None:
    body = json.dumps(event()).encode()

    accepted(sender.post(body, "Application/CloudEvents+JSON; charset=UTF-8"))


def test_data_is_kept_byte_for_byte_when_readers_would_differ_on_it(sender: Sender) -> None:
    written = json.dumps(event()["data"])[:-1] + ', "n": 1.10e2, "big": 12345678901234567890123, "é": "\\u00e9/\\/"}'
    body = json.dumps(event(data=0)).replace('"data": 0', f'"data": {written}')

    accepted(sender.post(body.encode()))

    assert written.encode() in bytes(OutboxMessage.objects.get().body)


def test_data_is_read_when_it_comes_as_base64(sender: Sender) -> None:
    data = json.dumps(event()["data"]).encode()

    accepted(sender.structured(event(data=..., data_base64=base64.b64encode(data).decode())))

    assert stored()["data"] == json.loads(data)


def test_trace_of_the_request_is_taken_when_the_event_has_none(sender: Sender) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    accepted(sender.structured(event(), traceparent=trace))

    assert stored()["traceparent"] == trace


def test_use_of_the_key_is_noted(sender: Sender) -> None:
    before = timezone.now()

    accepted(sender.structured(event()))

    noted = PublishKey.objects.get().last_used_at
    assert noted is not None
    assert noted >= before - timedelta(seconds=1)


# --- Duplicates ------------------------------------------------------------------------------------------------------


def test_first_id_is_told_when_the_event_was_sent_before(sender: Sender) -> None:
    sent = event()
    first = accepted_one(sender.structured(sent))

    second = accepted_one(sender.structured(sent | {"subject": "other"}))

    assert second == {"id": first["id"], "duplicate": True}
    assert kept() == (1, 1)
    assert stored()["subject"] == "payments-gateway"


def test_first_id_is_told_when_the_very_same_request_is_played_again(sender: Sender) -> None:
    body = json.dumps(event()).encode()
    signing = sender.sign(body)
    first = accepted_one(sender.post(body, signing=signing))

    assert accepted_one(sender.post(body, signing=signing)) == first | {"duplicate": True}
    assert kept() == (1, 1)


def test_event_is_a_duplicate_when_only_its_idempotency_key_is_the_same(sender: Sender) -> None:
    first = accepted_one(sender.structured(event(idempotencykey="k")))

    assert accepted_one(sender.structured(event(idempotencykey="k")))["id"] == first["id"]
    assert kept() == (1, 1)


@pytest.mark.parametrize("changes", [{"id": "b"}, {"source": "/q"}, {"idempotencykey": "k"}])
def test_event_is_no_duplicate_when_its_key_differs(sender: Sender, changes: dict[str, str]) -> None:
    sent = event(id="a", source="/p")
    accepted(sender.structured(sent))

    assert accepted_one(sender.structured(sent | changes))["duplicate"] is False
    assert kept() == (2, 2)


def test_event_is_no_duplicate_when_source_and_id_only_look_alike_together(sender: Sender) -> None:
    accepted(sender.structured(event(source="/p", id="q r")))

    assert accepted_one(sender.structured(event(source="/pq", id="r")))["duplicate"] is False


def test_event_is_no_duplicate_when_another_tenant_sent_it(sender: Sender) -> None:
    sent = event(idempotencykey="k", id="a")
    accepted(sender.structured(sent))

    other = new_sender("globex").structured(event("globex", idempotencykey="k", id="a"))

    assert accepted_one(other)["duplicate"] is False
    assert kept() == (2, 2)


def test_first_of_a_batch_wins_when_the_same_event_stands_in_it_twice(sender: Sender) -> None:
    one, other = event(subject="first"), event()

    receipts = accepted(sender.batch([one, other, one | {"subject": "second"}]))

    assert [receipt["duplicate"] for receipt in receipts] == [False, False, True]
    assert receipts[2]["id"] == receipts[0]["id"] != receipts[1]["id"]
    assert kept() == (2, 2)
    assert OutboxMessage.objects.filter(key="acme|first").count() == 1


def test_new_events_of_a_batch_are_kept_when_others_were_sent_before(sender: Sender) -> None:
    old, new = event(), event()
    first = accepted_one(sender.structured(old))

    receipts = accepted(sender.batch([new, old]))

    assert [receipt["duplicate"] for receipt in receipts] == [False, True]
    assert receipts[1]["id"] == first["id"]
    assert kept() == (2, 2)


@pytest.mark.django_db(transaction=True)
def test_one_wins_when_threads_send_the_same_events_at_once(sender: Sender) -> None:
    rounds = [[event() for _ in range(20)] for _ in range(5)]
    start = threading.Barrier(2)

    def send(backwards: bool) -> list[dict[str, Any]]:
        own = Sender(sender.key_id, sender.secret)
        receipts: list[dict[str, Any]] = []
        try:
            for events in rounds:
                start.wait()
                got = accepted(own.batch(events[::-1] if backwards else events))
                receipts += got[::-1] if backwards else got
        finally:
            connection.close()
        return receipts

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(send, [False, True])

    assert [receipt["id"] for receipt in one] == [receipt["id"] for receipt in other]
    for pair in zip(one, other, strict=True):
        assert sorted(receipt["duplicate"] for receipt in pair) == [False, True]
    assert IdempotencyKey.objects.count() == 100


# --- Who may -----------------------------------------------------------------------------------------------------------


def test_request_is_refused_when_it_names_no_key(sender: Sender) -> None:
    body = json.dumps(event()).encode()
    signing = {name: value for name, value in sender.sign(body).items() if name != "x-publish-key"}

    response = sender.post(body, signing=signing)

    refused(response, 401, "unauthorized")
    assert response["WWW-Authenticate"] == "StandardWebhooks"


@pytest.mark.parametrize("key_id", ["pk_unknown", "' OR 1=1 --", "pk_\0", "é" * 50, "x" * 5_000])
def test_request_is_refused_when_its_key_is_not_known(sender: Sender, key_id: str) -> None:
    sender.key_id = key_id

    refused(sender.structured(event()), 401, "unauthorized")


def test_request_is_refused_when_its_key_or_tenant_is_not_active(sender: Sender) -> None:
    PublishKey.objects.update(active=False)
    refused(sender.structured(event()), 401, "unauthorized")
    PublishKey.objects.update(active=True)
    Tenant.objects.update(active=False)
    refused(sender.structured(event()), 401, "unauthorized")


def test_request_is_refused_when_it_is_signed_with_another_keys_secret(sender: Sender) -> None:
    sender.secret = new_sender("globex").secret

    refused(sender.structured(event()), 401, "unauthorized")
    assert PublishKey.objects.filter(last_used_at=None).count() == 2


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, "", "0", "v1,", "é", "v1," + "A" * 44, "99999999999999999999"])
def test_request_is_refused_when_a_signing_header_is_missing_or_wrong(
    sender: Sender, name: str, value: str | None
) -> None:
    body = json.dumps(event()).encode()
    signing = sender.sign(body) | {name: value}

    response = sender.post(body, signing={name: each for name, each in signing.items() if each is not None})

    refused(response, 401, "unauthorized")
    assert sender.secret.encode() not in response.content


@pytest.mark.parametrize("seconds", [-301, -86_400, 302, 86_400])
def test_request_is_refused_when_its_time_is_out_of_tolerance(sender: Sender, seconds: int) -> None:
    body = json.dumps(event()).encode()

    refused(sender.post(body, signing=sender.sign(body, at=timezone.now().timestamp() + seconds)), 401, "unauthorized")


def test_request_is_refused_when_its_body_was_changed_on_the_way(sender: Sender) -> None:
    body = json.dumps(event()).encode()

    refused(sender.post(body + b" ", signing=sender.sign(body)), 401, "unauthorized")


def test_request_is_taken_when_one_of_several_signatures_fits(sender: Sender) -> None:
    body = json.dumps(event()).encode()
    signing = sender.sign(body)
    signing["webhook-signature"] = f"v2,x v1,{'A' * 43}= {signing['webhook-signature']}"

    accepted(sender.post(body, signing=signing))


def test_wrong_content_is_not_read_when_the_signature_is_wrong(sender: Sender) -> None:
    response = sender.post(b"{", signing=sender.sign(b"["))

    assert refused(response, 401, "unauthorized") == []


def test_event_is_refused_when_it_names_another_tenant(sender: Sender) -> None:
    TenantFactory(slug="globex")

    assert refused(sender.structured(event(tenant="globex")), 403, "foreign-tenant") == [("tenant", None)]


def test_event_is_refused_when_its_data_names_another_tenant(sender: Sender) -> None:
    assert refused(sender.structured(event("globex")), 400, "invalid-event") == [("data.tenant", None)]


def test_whole_batch_is_refused_when_one_event_names_another_tenant(sender: Sender) -> None:
    response = sender.batch([event(), event(tenant="globex"), event("globex")])

    assert refused(response, 403, "foreign-tenant") == [("tenant", 1), ("data.tenant", 2)]


# --- What is wrong with it ---------------------------------------------------------------------------------------------


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
    assert response["Allow"] == "POST, OPTIONS"


def test_nothing_is_kept_when_the_last_event_of_a_full_batch_is_wrong(sender: Sender) -> None:
    events = [event() for _ in range(MAX_BATCH_EVENTS - 1)]

    assert refused(sender.batch([*events, event(id="")]), 400, "invalid-event") == [("id", MAX_BATCH_EVENTS - 1)]


# --- Anything at all ---------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [*event(), "time", "tags", "tenant", "dataschema", "datacontenttype", "data_base64", "traceparent"]
)
MEMBERS = st.dictionaries(NAMES | st.text(st.characters(), max_size=22), JSON, min_size=1, max_size=3)
DATA = st.dictionaries(st.sampled_from(list(event()["data"])) | st.text(max_size=5), JSON, min_size=1, max_size=3)
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def is_answered(response: HttpResponse, before: tuple[int, int]) -> None:
    assert response.status_code in (202, 400, 403, 413, 415, 422), response.content
    if response.status_code != 202:
        assert response["Content-Type"] == PROBLEM_JSON
        assert kept() == before


@FUZZ
@given(body=st.binary(max_size=200), content_type=st.sampled_from([STRUCTURED, BATCH, "application/json"]))
def test_any_bytes_are_answered(sender: Sender, body: bytes, content_type: str) -> None:
    is_answered(sender.post(body, content_type), kept())


@FUZZ
@given(changes=MEMBERS)
def test_any_members_are_answered(sender: Sender, changes: dict[str, Any]) -> None:
    is_answered(sender.structured(event(id=str(uuid4())) | changes), kept())


@FUZZ
@given(events=st.lists(JSON | MEMBERS.map(lambda changes: event() | changes), max_size=4))
def test_any_batch_is_answered(sender: Sender, events: list[Any]) -> None:
    is_answered(sender.batch(events), kept())


@FUZZ
@given(changes=DATA)
def test_any_data_is_answered(sender: Sender, changes: dict[str, Any]) -> None:
    made = event()
    is_answered(sender.structured(made | {"data": made["data"] | changes}), kept())


@FUZZ
@given(
    attributes=st.dictionaries(
        st.sampled_from(["id", "source", "type", "subject", "time", "tags", "tenant", "x1"]),
        st.text(st.characters(max_codepoint=255), max_size=20),
    ),
    content_type=st.sampled_from(["application/json", "text/plain", "a/b; charset=x", STRUCTURED + "-x"]),
    data=st.binary(max_size=50) | st.just(json.dumps(event()["data"]).encode()),
)
def test_any_headers_are_answered(sender: Sender, attributes: dict[str, str], content_type: str, data: bytes) -> None:
    base = {"specversion": "1.0", "id": str(uuid4()), "source": "/p", "type": "plugin.release.published"}

    is_answered(sender.binary(base | attributes, data, content_type), kept())
