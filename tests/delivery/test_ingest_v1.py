"""The bus takes v1 beside CloudEvents, as the same events."""

from __future__ import annotations

import json

import pytest

from delivery.models import Delivery
from eventcenter.envelope import V1_CONTENT_TYPE, to_structured, to_v1
from eventcenter.models import Event, RejectedEvent
from tests.delivery.bus_messages import TRACE, ingest_now, on_bus, raw, release
from tests.factories import SubscriptionFactory, TenantFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("event_types", "empty_queues")]

MARKED = [("content-type", V1_CONTENT_TYPE.encode())]


@pytest.mark.parametrize("headers", [MARKED, [], [("content-type", b"application/json")]])
def test_v1_message_is_ingested_once_when_both_forms_come_over_the_bus(headers: list[tuple[str, bytes]]) -> None:
    SubscriptionFactory(endpoint__tenant=TenantFactory(slug="acme"))
    sent = release("acme", idempotencykey="payments/2.4.1", traceparent=TRACE)

    ingest_now(raw(to_v1(sent), headers))
    ingest_now(on_bus(sent))

    assert bytes(Event.objects.get().body) == to_structured(sent)
    assert Delivery.objects.count() == 1
    assert not RejectedEvent.objects.exists()


def test_v1_message_is_kept_aside_in_v1_words_when_it_is_wrong() -> None:
    TenantFactory(slug="acme")
    wrong = json.loads(to_v1(release("acme")))
    del wrong["payload"]["version"]

    ingest_now(raw(json.dumps(wrong | {"version": 3}).encode(), MARKED), raw(json.dumps(wrong).encode(), MARKED))

    details = set(RejectedEvent.objects.values_list("reason", "detail"))
    assert {reason for reason, _ in details} == {"unreadable", "invalid"}
    assert {detail.partition(":")[0] for _, detail in details} == {"version", "payload.version"}
    assert not Event.objects.exists()
