"""POST /internal/events/publish, with signatures of the public package: what is taken, once, and from whom."""

from __future__ import annotations

import base64
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from eventcenter.intake import MAX_BATCH_EVENTS
from eventcenter.models import IdempotencyKey, OutboxMessage, PublishKey
from subscriptions.models import Tenant
from tests.eventcenter.sender import (
    BATCH,
    Sender,
    accepted,
    accepted_one,
    event,
    kept,
    new_sender,
    refused,
)
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def stored() -> dict[str, Any]:
    """The one outbox row's event."""
    return dict(json.loads(bytes(OutboxMessage.objects.get().body)))


# --- What is taken ---------------------------------------------------------------------------------------------------


def test_event_is_kept_when_it_comes_in_structured_mode(sender: Sender) -> None:
    sent = event(tags="stable,eu", region="eu-1", tenant="acme", traceparent=TRACE)

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
    accepted(sender.structured(event(tracestate="made=up"), traceparent=TRACE, tracestate="rojo=00f067aa0ba902b7"))

    assert (stored()["traceparent"], stored()["tracestate"]) == (TRACE, "rojo=00f067aa0ba902b7")


@pytest.mark.parametrize("state", ["", "no list", "a=" + "x" * 600, "a=1,," + ",b=2" * 40])
def test_trace_goes_on_without_a_state_when_that_is_malformed(sender: Sender, state: str) -> None:
    accepted(sender.structured(event(), traceparent=TRACE, tracestate=state))

    assert stored()["traceparent"] == TRACE
    assert "tracestate" not in stored()


def test_event_keeps_its_own_trace_when_the_request_has_another(sender: Sender) -> None:
    own = TRACE.replace("0af7", "0af8")

    accepted(sender.structured(event(traceparent=own, tracestate="own=1"), traceparent=TRACE, tracestate="rojo=1"))

    assert (stored()["traceparent"], stored()["tracestate"]) == (own, "own=1")


def test_every_event_has_an_unsampled_trace_of_its_own_when_nobody_gave_one(sender: Sender) -> None:
    accepted(sender.post(json.dumps([event(), event()]).encode(), BATCH, {"traceparent": TRACE}))

    found = [json.loads(bytes(row.body))["traceparent"] for row in OutboxMessage.objects.order_by("id")]
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", text) for text in found)
    assert len({TRACE[3:35], *(text[3:35] for text in found)}) == 3


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
