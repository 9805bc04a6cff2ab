"""Deliveries in their event's trace: what receivers are told, and what spans say; by a real worker on real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from audit.trail import Actor
from delivery import spans
from delivery.models import Delivery, DeliveryCounter
from delivery.outcome import ErrorKind, Outcome, OutcomeKind, deferred
from delivery.replay import replay
from delivery.spans import error_type, outgoing
from delivery.states import DeliveryStatus
from eventcenter import log_context
from eventcenter.log_context import Serving
from eventcenter.models import Event
from eventcenter.tracing import switch
from eventcenter.tracing.export import SdkRecording
from subscriptions.models import EndpointState
from tests.delivery.bus_messages import ingest_now, on_bus, release
from tests.delivery.worker.desk import Desk, Make, dispatch, ended
from tests.factories import TRACE_ID, SubscriptionFactory, TenantFactory
from tests.fakes.receiver import Answer, Receiver
from tests.tracing import Recorded, context, parent_id, recorded
from tests.waiting import eventually

CALLER = "b7ad6b7169203331"
TRACE = f"00-{TRACE_ID}-{CALLER}-01"
UNSAMPLED = f"00-{TRACE_ID}-{CALLER}-00"
ACTOR = Actor("user:eva", "192.0.2.1")
worker_test = pytest.mark.django_db(transaction=True)


@pytest.fixture
def found() -> Iterator[Recorded]:
    with recorded() as running:
        yield running


def attempts(found: Recorded, count: int) -> list[ReadableSpan]:
    """They are made after their results are recorded."""
    return eventually(lambda: len(made := found.named("delivery send")) >= count and made)  # type: ignore[return-value]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


# --- What the receiver is told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [TRACE, UNSAMPLED, ""])
def test_event_is_told_as_it_is_when_tracing_is_off(given: str) -> None:
    assert outgoing(given) == (given, 0)


@pytest.mark.parametrize("given", [UNSAMPLED, ""])
def test_event_is_told_as_it_is_when_it_is_not_sampled(found: Recorded, given: str) -> None:
    assert outgoing(given) == (given, 0)


def test_event_is_told_as_it_is_when_the_sampler_would_drop_the_attempt() -> None:
    with recorded(ALWAYS_OFF):
        assert outgoing(TRACE) == (TRACE, 0)


# --- Attempts ----------------------------------------------------------------------------------------------------------


@worker_test
def test_receiver_is_told_the_attempts_own_span_when_it_is_recorded(
    found: Recorded, desk: Desk, make: Make, receiver: Receiver
) -> None:
    delivery = make(event__traceparent=TRACE, event__tracestate="rojo=1")

    desk.deliver(delivery)

    [span] = attempts(found, 1)
    [request] = receiver.requests
    assert request.header("traceparent") == f"00-{TRACE_ID}-{context(span)[1]}-01"
    assert request.header("tracestate") == "rojo=1"
    assert (span.kind, context(span)[0], parent_id(span)) == (SpanKind.CLIENT, TRACE_ID, CALLER)
    assert span.status.is_unset
    attempt = delivery.attempt_rows.get()
    assert span.start_time is not None
    assert abs(span.start_time / 1e9 - attempt.started_at.timestamp()) < 0.001
    assert attributes(span) == {
        "event_center.delivery.id": str(delivery.pk),
        "event_center.endpoint.id": delivery.endpoint_id,
        "event_center.subscription.id": delivery.subscription_id,
        "event_center.tenant.id": delivery.tenant_id,
        "event_center.channel": "webhook",
        "event_center.attempt.number": 1,
        "event_center.delivery.round": 0,
        "event_center.attempt.outcome": "delivered",
        "event_center.delivery.status": "delivered",
        "http.request.method": "POST",
        "http.request.resend_count": 0,
        "http.response.status_code": 204,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": receiver.port,
    }


@worker_test
def test_span_says_what_follows_when_an_attempt_fails(
    found: Recorded, desk: Desk, make: Make, receiver: Receiver
) -> None:
    receiver.script("/hook", Answer(500))
    delivery = make(event__traceparent=TRACE)

    desk.deliver(delivery)

    [span] = attempts(found, 1)
    said = attributes(span)
    assert (said["error.type"], said["http.response.status_code"], span.status.is_ok) == ("500", 500, False)
    assert said["event_center.delivery.status"] == DeliveryStatus.RETRYING
    assert said["event_center.delivery.next_attempt_at"] == delivery.next_attempt_at.isoformat()


class Broken(SpanProcessor):
    """As a package that is not ours may be."""

    def on_end(self, span: ReadableSpan) -> None:
        raise ValueError("no spans today")


@worker_test
def test_result_is_recorded_once_when_its_span_cannot_be_made(
    desk: Desk, make: Make, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.script("/hook", Answer(500))
    delivery = make(event__traceparent=TRACE)
    recording = SdkRecording(Broken(), "test", None)
    switch.use(recording)
    try:
        desk.deliver(delivery)
    finally:
        switch.use(None)
        recording.close()

    assert (delivery.attempts, delivery.attempt_rows.count()) == (1, 1)
    counted = DeliveryCounter.objects.get()
    assert (counted.attempts, counted.failed) == (1, 1)
    eventually(lambda: "spans.attempts_not_noted" in caplog.messages)
    assert "recorder.group_refused" not in caplog.messages, "what was committed is not tried again"


@worker_test
def test_no_span_is_made_when_the_delivery_is_only_held(found: Recorded, desk: Desk, make: Make) -> None:
    delivery = make(event__traceparent=TRACE, endpoint__state=EndpointState.PAUSED)

    desk.deliver(delivery)

    assert (delivery.held_reason, found.spans) == ("endpoint_paused", [])


@worker_test
def test_attempt_is_spent_and_shown_when_its_request_cannot_be_made(found: Recorded, desk: Desk, make: Make) -> None:
    params = {"template": "github", "template_params": {"event_type": "{{ event.data.nothing | date_of }}"}}
    delivery = make(event__traceparent=TRACE, **{f"endpoint__{name}": value for name, value in params.items()})

    desk.deliver(delivery)

    [span] = attempts(found, 1)
    assert attributes(span)["event_center.delivery.status"] == DeliveryStatus.DEAD
    assert attributes(span)["error.type"] == delivery.dead_reason


@worker_test
def test_attempt_links_to_the_replay_when_somebody_asked_for_it(
    found: Recorded, desk: Desk, make: Make, receiver: Receiver
) -> None:
    delivery = make(event__traceparent=TRACE)
    desk.deliver(delivery)
    with log_context.entered(Serving("r1", f"00-{'3' * 32}-{'4' * 16}-01")):
        assert replay(delivery.pk, ACTOR)

    hint = dispatch([Delivery.objects.get(pk=delivery.pk)])
    desk.run(hint)
    ended(hint)

    [asked] = found.named("delivery replay")
    again = attempts(found, 2)[1]
    assert (context(asked)[0], parent_id(asked)) == (TRACE_ID, CALLER)
    assert [link.context.trace_id for link in asked.links] == [int("3" * 32, 16)]
    assert [f"{link.context.span_id:016x}" for link in again.links] == [context(asked)[1]]
    assert context(again)[0] == TRACE_ID
    assert attributes(again)["event_center.delivery.round"] == 1


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome(OutcomeKind.DELIVERED, 204), ""),
        (Outcome(OutcomeKind.FAILED, 500, ErrorKind.HTTP_STATUS), "500"),
        (Outcome(OutcomeKind.FAILED, 302, ErrorKind.REDIRECT), "302"),
        (Outcome(OutcomeKind.FAILED, None, ErrorKind.TIMEOUT), "timeout"),
        (Outcome(OutcomeKind.PERMANENT), "permanent"),
        (deferred(ErrorKind.RATE_LIMIT, "", 1.0), "rate_limit"),
    ],
)
def test_error_has_a_word_of_few_when_an_attempt_fails(outcome: Outcome, said: str) -> None:
    assert error_type(outcome) == said


def test_replays_span_has_one_id_when_it_is_worked_out_twice() -> None:
    delivery = uuid4()
    assert spans.replay_span_id(delivery, 1) == spans.replay_span_id(delivery, 1) != spans.replay_span_id(delivery, 2)


# --- Ingest ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("event_types", "empty_queues")
def test_processing_hangs_below_the_event_when_a_batch_is_stored(found: Recorded) -> None:
    SubscriptionFactory(endpoint__tenant=TenantFactory(slug="acme"))
    first, quiet = release("acme", traceparent=TRACE), release("acme", traceparent=UNSAMPLED)
    fresh = release("acme")

    messages = [on_bus(first), on_bus(quiet), on_bus(fresh)]
    ingest_now(*messages)

    processed = found.named("process events")
    planned = found.named("plan")
    assert [parent_id(span) for span in planned] == [context(span)[1] for span in processed]
    of_first, of_fresh = processed
    assert (of_first.kind, context(of_first)[0], parent_id(of_first)) == (SpanKind.CONSUMER, TRACE_ID, CALLER)
    said = attributes(of_first)
    assert (said["messaging.kafka.offset"], said["messaging.batch.message_count"]) == (messages[0].offset, 3)
    assert attributes(planned[0])["event_center.deliveries"] == 1
    # The one that came without a trace begins one here, and it is recorded.
    [created] = found.named("create events")
    assert parent_id(of_fresh) == context(created)[1]
    stored = Event.objects.get(producer_id=fresh.id).traceparent
    assert stored == "00-{}-{}-01".format(*context(created))


@pytest.mark.django_db
@pytest.mark.usefixtures("event_types", "empty_queues")
@pytest.mark.parametrize(("given", "kept"), [("rojo=1", "rojo=1"), ("no state", ""), (7, "")])
def test_state_is_kept_when_the_event_has_one(given: object, kept: str) -> None:
    TenantFactory(slug="acme")

    ingest_now(on_bus(release("acme", traceparent=TRACE, extensions={"tracestate": given})))

    assert Event.objects.get().tracestate == kept


@pytest.mark.django_db
@pytest.mark.usefixtures("event_types", "empty_queues")
def test_no_span_is_made_when_the_batch_was_not_stored(found: Recorded) -> None:
    SubscriptionFactory(endpoint__tenant=TenantFactory(slug="acme"))
    message = on_bus(release("acme", traceparent=TRACE))
    ingest_now(message)
    made = len(found.spans)

    ingest_now(message)  # a repeat

    assert len(found.spans) == made == 2
