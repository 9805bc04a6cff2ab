"""The console channel: lines of the feed in the test's database."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from delivery.models import Delivery, FeedItem
from delivery.outcome import ErrorKind, OutcomeKind
from delivery.transports.base import Gate
from delivery.transports.console.request import MAX_SUMMARY_CHARS, build
from delivery.transports.console.transport import transport as console_transport
from delivery.transports.front import Front
from subscriptions.routing import Sink
from tests.delivery.transports.sinks import event_body, make_sending, make_sink, send_one
from tests.delivery.worker.test_recorder import other_backends, terminate
from tests.factories import DeliveryFactory, EndpointFactory
from tests.fakes.inbox import Outcomes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def transport() -> Iterator[Front]:
    opened = console_transport(Gate())
    yield opened
    opened.close(5)


@pytest.fixture
def delivery() -> Delivery:
    made: Delivery = DeliveryFactory()
    return made


def sink_of(delivery: Delivery) -> Sink:
    return make_sink("console", endpoint_id=delivery.endpoint_id, tenant_id=delivery.tenant_id)


def test_line_stands_in_the_feed_when_an_event_was_delivered(transport: Front, delivery: Delivery) -> None:
    body = event_body({"version": "2.4.1", "severity": "warning"})
    outcome = send_one(transport, build(sink_of(delivery), make_sending(body, delivery_id=delivery.pk)))
    assert outcome.kind is OutcomeKind.DELIVERED
    item = FeedItem.objects.get()
    assert (item.pk, item.event_id, item.tenant_id) == (delivery.pk, delivery.event_id, delivery.tenant_id)
    assert (item.endpoint_id, item.type, item.subject) == (
        delivery.endpoint_id,
        "plugin.release.published",
        "payments-gateway",
    )
    assert (item.severity, item.summary) == ("warning", "plugin.release.published payments-gateway 2.4.1")


def test_repeat_changes_nothing_and_is_delivered(transport: Front, delivery: Delivery) -> None:
    first = build(sink_of(delivery), make_sending(delivery_id=delivery.pk))
    again = build(
        sink_of(delivery), make_sending(event_body({"summary": "other"}), delivery_id=delivery.pk, replay=True)
    )
    assert send_one(transport, first).kind is OutcomeKind.DELIVERED
    assert send_one(transport, again).kind is OutcomeKind.DELIVERED
    assert FeedItem.objects.get().summary == first.summary != "other"


def test_lines_of_a_batch_all_arrive_and_one_that_cannot_costs_only_itself(
    transport: Front, delivery: Delivery
) -> None:
    messages = [build(sink_of(delivery), make_sending()) for _ in range(50)]
    orphan = build(make_sink("console", endpoint_id=delivery.endpoint_id, tenant_id=2_000_000), make_sending())
    outcomes = Outcomes()
    transport.send([*messages[:25], orphan, *messages[25:]], outcomes.record)
    outcomes.wait_for(51)
    refused = outcomes.of(orphan)
    assert (refused.kind, refused.error_kind) == (OutcomeKind.PERMANENT, ErrorKind.ENDPOINT_DELETED)
    assert {outcomes.of(message).kind for message in messages} == {OutcomeKind.DELIVERED}
    assert FeedItem.objects.count() == 50


def test_line_is_held_when_the_database_was_lost_and_goes_out_afterwards(transport: Front, delivery: Delivery) -> None:
    sink = sink_of(delivery)
    assert send_one(transport, build(sink, make_sending())).kind is OutcomeKind.DELIVERED
    terminate(other_backends())
    held = send_one(transport, build(sink, make_sending()))
    assert (held.kind, held.error_kind) == (OutcomeKind.DEFERRED, ErrorKind.INTERNAL)
    assert send_one(transport, build(sink, make_sending())).kind is OutcomeKind.DELIVERED
    assert FeedItem.objects.count() == 2


def test_summary_is_the_event_s_own_and_cut() -> None:
    sink = make_sink("console")
    long = build(sink, make_sending(event_body({"summary": "x" * 2000, "severity": "doom"})))
    assert long.summary == "x" * MAX_SUMMARY_CHARS
    assert long.severity == "info"


@pytest.mark.parametrize("data", [None, [1, 2], "text", {"severity": ["error"]}])
def test_data_of_any_form_makes_a_line(data: object) -> None:
    made = build(make_sink("console"), make_sending(event_body(data)))
    assert (made.severity, made.summary) == ("info", "plugin.release.published payments-gateway")


def test_event_whose_data_is_no_json_makes_a_line() -> None:
    body = event_body("a,b\n1,2", datacontenttype="text/csv")
    assert build(make_sink("console"), make_sending(body)).summary == "plugin.release.published payments-gateway"


def test_test_send_without_a_delivery_makes_a_line_too(transport: Front) -> None:
    endpoint = EndpointFactory()
    sink = make_sink("console", endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id)
    delivery_id = uuid4()
    assert send_one(transport, build(sink, make_sending(delivery_id=delivery_id))).kind is OutcomeKind.DELIVERED
    assert FeedItem.objects.get().event_id == delivery_id
