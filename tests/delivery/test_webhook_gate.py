"""The webhook transport heeds the gate and the slots of rate limits; how the lanes do it: test_lanes.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from delivery.addresses import AddressPolicy
from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.transports.base import Gate, Hold, Message
from delivery.transports.webhook import CurlOptions, Limits, WebhookTransport
from tests.fakes.inbox import Outcomes, make_message
from tests.fakes.receiver import Answer, Receiver
from tests.waiting import eventually

LOOPBACK = AddressPolicy(["127.0.0.0/8"])


@pytest.fixture
def transport() -> Iterator[WebhookTransport]:
    opened = WebhookTransport(CurlOptions(LOOPBACK))
    yield opened
    opened.close(0.1)


def send_one(transport: WebhookTransport, message: Message) -> Outcome:
    outcomes = Outcomes()
    transport.send([message], outcomes.record)
    return outcomes.of(message)


def timed_message(url: str, start_at: float, spacing_s: float = 0.05, endpoint_id: int = 1) -> Message:
    message = make_message(url, endpoint_id=endpoint_id)
    message.start_at, message.spacing_s = start_at, spacing_s
    return message


def test_request_waits_for_its_slot(transport: WebhookTransport, receiver: Receiver) -> None:
    first_at = time.monotonic() + 0.2
    outcomes = Outcomes()
    transport.send([timed_message(receiver.url(), first_at + number * 0.05) for number in range(4)], outcomes.record)
    offset_s = time.time() - time.monotonic()
    reports = outcomes.wait_for(4)
    sent = {message.start_at: outcome for message, outcome in reports if outcome.kind is OutcomeKind.DELIVERED}
    missed = [outcome for _, outcome in reports if outcome.kind is not OutcomeKind.DELIVERED]
    assert all(outcome.started_at - offset_s >= start_at - 0.002 for start_at, outcome in sent.items())
    assert len(receiver.requests) == len(sent)
    assert {outcome.error_kind for outcome in missed} <= {ErrorKind.RATE_LIMIT}


def test_send_does_not_block_while_others_only_wait_for_their_slots(receiver: Receiver) -> None:
    transport = WebhookTransport(CurlOptions(LOOPBACK), Limits(in_flight=8, in_flight_per_endpoint=1, waiting=10))
    outcomes = Outcomes()
    later = time.monotonic() + 60
    transport.send([timed_message(receiver.url("/slow"), later, endpoint_id=2) for _ in range(50)], outcomes.record)
    assert eventually(lambda: transport.waiting == 0)
    assert send_one(transport, make_message(receiver.url("/quick"))).kind is OutcomeKind.DELIVERED
    transport.close()
    assert {outcome.error_kind for _, outcome in outcomes.wait_for(50)} == {ErrorKind.SHUTDOWN}
    assert receiver.requests_to("/slow") == []


def test_held_endpoint_is_not_called_and_what_waits_is_deferred(receiver: Receiver) -> None:
    until = datetime.now(UTC) + timedelta(minutes=5)
    gate = Gate(held={1: Hold(ErrorKind.BREAKER_OPEN, "failed too often", until)})
    transport = WebhookTransport(CurlOptions(LOOPBACK), None, gate)
    held = send_one(transport, make_message(receiver.url("/held"), endpoint_id=1))
    assert send_one(transport, make_message(receiver.url("/other"), endpoint_id=2)).kind is OutcomeKind.DELIVERED
    gate.held.clear()
    assert send_one(transport, make_message(receiver.url("/again"), endpoint_id=1)).kind is OutcomeKind.DELIVERED
    transport.close()
    assert (held.kind, held.error_kind, held.error) == (
        OutcomeKind.DEFERRED,
        ErrorKind.BREAKER_OPEN,
        "failed too often",
    )
    assert 295 < (held.retry_after_s or 0) <= 300
    assert receiver.requests_to("/held") == []


def test_cap_of_the_gate_is_kept(receiver: Receiver) -> None:
    answer = threading.Event()
    gate = Gate(caps={1: 2})
    transport = WebhookTransport(CurlOptions(LOOPBACK), None, gate)
    outcomes = Outcomes()
    transport.send([make_message(receiver.script("/", Answer(gate=answer))) for _ in range(10)], outcomes.record)
    receiver.wait_for(2)
    assert eventually(lambda: gate.load_of(1) == 10)
    answer.set()
    outcomes.wait_for(10)
    transport.close()
    assert receiver.connections == 2


def test_endpoint_that_asks_for_less_has_less_in_flight(receiver: Receiver) -> None:
    transport = WebhookTransport(CurlOptions(LOOPBACK), Limits(in_flight=64, in_flight_per_endpoint=4))
    throttled, answer = [Answer(503)] * 4, threading.Event()
    url = receiver.script("/", Answer(), *throttled, Answer(gate=answer))
    outcomes = Outcomes()
    assert send_one(transport, make_message(url)).kind is OutcomeKind.DELIVERED
    transport.send([make_message(url) for _ in range(20)], outcomes.record)
    receiver.wait_for(1 + 4 + 2)
    for _ in range(3):  # the engine has been round and could have started more
        assert send_one(transport, make_message(receiver.url("/other"), endpoint_id=2)).kind is OutcomeKind.DELIVERED
    assert len(receiver.requests_to("/")) == 1 + 4 + 2
    answer.set()
    reports = outcomes.wait_for(20)
    transport.close()
    assert [outcome.kind for _, outcome in reports].count(OutcomeKind.THROTTLED) == 4
