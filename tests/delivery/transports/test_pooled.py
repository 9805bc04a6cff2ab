"""The pool of blocking senders: what every Transport promises."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.transports.base import Gate, Hold, Message
from delivery.transports.front import Front
from delivery.transports.lanes import Limits
from delivery.transports.pooled import PoolEngine
from tests.fakes.inbox import Outcomes, make_message
from tests.waiting import eventually

WELL = Outcome(OutcomeKind.DELIVERED)


class Gated:
    """A sender whose messages to "slow" wait for `gate`; "broken" ones raise."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.sent: list[Message] = []
        self.at_once: Counter[int] = Counter()
        self.most: Counter[int] = Counter()
        self.tidied = 0
        self.closed = threading.Event()
        self._lock = threading.Lock()

    def send_one(self, message: Message) -> Outcome:
        key = message.endpoint_id
        with self._lock:
            self.sent.append(message)
            self.at_once[key] += 1
            self.most[key] = max(self.most[key], self.at_once[key])
        try:
            if message.url == "broken":
                raise RuntimeError("boom")
            if message.url == "slow":
                self.gate.wait(30)
            return WELL
        finally:
            with self._lock:
                self.at_once[key] -= 1

    def tidy(self, now: float) -> None:
        self.tidied += 1

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def sender() -> Iterator[Gated]:
    made = Gated()
    yield made
    made.gate.set()


Open = Callable[..., Front]


@pytest.fixture
def open_front(sender: Gated) -> Iterator[Open]:
    opened: list[Front] = []

    def make(gate: Gate | None = None, **limits: float) -> Front:
        chosen = Limits(**{"in_flight": 8, "in_flight_per_endpoint": 4, **limits})  # type: ignore[arg-type]
        opened.append(Front("pool", chosen, lambda tell: PoolEngine("pool", chosen, gate or Gate(), tell, sender)))
        return opened[-1]

    yield make
    sender.gate.set()
    for front in opened:
        front.close(5)


def test_each_message_is_sent_and_recorded_once(open_front: Open, sender: Gated) -> None:
    outcomes, messages = Outcomes(), [make_message("x", endpoint_id=number % 5) for number in range(300)]
    open_front().send(messages, outcomes.record)
    reports = outcomes.wait_for(300)
    assert {outcome.kind for _, outcome in reports} == {OutcomeKind.DELIVERED}
    assert all(outcome.started_at > 0 for _, outcome in reports)
    assert len(sender.sent) == 300


def test_nothing_is_started_before_the_first_send(open_front: Open, sender: Gated) -> None:
    front = open_front()
    assert not front.is_started
    front.close(1)
    assert not sender.closed.is_set()


def test_fault_of_the_sender_costs_its_message_only(
    open_front: Open, sender: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    front, outcomes = open_front(), Outcomes()
    messages = [make_message("broken" if number % 2 else "x") for number in range(40)]
    front.send(messages, outcomes.record)
    outcomes.wait_for(40)
    for number, message in enumerate(messages):
        found = outcomes.of(message)
        expected = (OutcomeKind.FAILED, ErrorKind.INTERNAL) if number % 2 else (OutcomeKind.DELIVERED, ErrorKind.NONE)
        assert (found.kind, found.error_kind) == expected
    assert "pooled.send_fault" in caplog.text


def test_endpoint_that_hangs_holds_nobody(open_front: Open, sender: Gated) -> None:
    front, stuck, quick = open_front(), Outcomes(), Outcomes()
    front.send([make_message("slow", endpoint_id=1) for _ in range(50)], stuck.record)
    eventually(lambda: sender.sent)
    front.send([make_message("x", endpoint_id=2) for _ in range(50)], quick.record)
    quick.wait_for(50)
    assert len(stuck) == 0


def test_limit_per_endpoint_is_never_passed(open_front: Open, sender: Gated) -> None:
    front, outcomes = open_front(in_flight=32, in_flight_per_endpoint=2), Outcomes()
    front.send([make_message("x", endpoint_id=1) for _ in range(100)], outcomes.record)
    outcomes.wait_for(100)
    assert sender.most[1] <= 2


def test_cap_of_the_gate_is_never_passed(open_front: Open, sender: Gated) -> None:
    front, outcomes = open_front(Gate(caps={1: 1})), Outcomes()
    front.send([make_message("x", endpoint_id=1) for _ in range(50)], outcomes.record)
    outcomes.wait_for(50)
    assert sender.most[1] == 1


def test_held_endpoint_is_not_called_and_its_messages_are_deferred(open_front: Open, sender: Gated) -> None:
    hold = Hold(ErrorKind.BREAKER_OPEN, "failed too often", timezone.now() + timedelta(seconds=60))
    front, outcomes = open_front(Gate(held={1: hold})), Outcomes()
    held, free = make_message("x", endpoint_id=1), make_message("x", endpoint_id=2)
    front.send([held, free], outcomes.record)
    assert outcomes.of(free).kind is OutcomeKind.DELIVERED
    outcome = outcomes.of(held)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.DEFERRED, ErrorKind.BREAKER_OPEN)
    assert held not in sender.sent


def test_nothing_starts_while_the_gate_is_shut(open_front: Open, sender: Gated) -> None:
    is_open = threading.Event()
    asked = threading.Event()

    def may_start() -> bool:
        asked.set()
        return is_open.is_set()

    front, outcomes = open_front(Gate(may_start=may_start)), Outcomes()
    front.send([make_message("x")], outcomes.record)
    assert asked.wait(5)
    assert not sender.sent
    is_open.set()
    outcomes.wait_for(1)


def test_send_blocks_while_too_much_waits_and_goes_on_when_there_is_room(open_front: Open, sender: Gated) -> None:
    front, outcomes, returned = (
        open_front(in_flight=2, in_flight_per_endpoint=1, waiting=10),
        Outcomes(),
        threading.Event(),
    )

    def send_twice() -> None:
        for _ in range(2):
            front.send([make_message("slow") for _ in range(15)], outcomes.record)
        returned.set()

    calling = threading.Thread(target=send_twice)
    calling.start()
    eventually(lambda: sender.sent)
    assert not returned.is_set()
    sender.gate.set()
    outcomes.wait_for(30)
    calling.join(5)
    assert returned.is_set()


def test_close_finishes_what_is_in_flight_and_defers_the_rest(open_front: Open, sender: Gated) -> None:
    front, outcomes = open_front(in_flight=2, in_flight_per_endpoint=1), Outcomes()
    front.send([make_message("slow") for _ in range(10)], outcomes.record)
    eventually(lambda: sender.sent)
    closing = threading.Thread(target=front.close, args=(30,))
    closing.start()
    early = [outcome for _, outcome in outcomes.wait_for(9)]
    assert {(each.kind, each.error_kind, each.retry_after_s) for each in early} == {
        (OutcomeKind.DEFERRED, ErrorKind.SHUTDOWN, 0.0)
    }
    sender.gate.set()
    closing.join(10)
    assert outcomes.wait_for(10)[-1][1].kind is OutcomeKind.DELIVERED
    assert len(sender.sent) == 1
    assert sender.closed.is_set()


def test_close_gives_up_at_its_deadline_and_reports_once(open_front: Open, sender: Gated) -> None:
    front, outcomes = open_front(), Outcomes()
    front.send([make_message("slow")], outcomes.record)
    eventually(lambda: sender.sent)
    front.close(0.05)
    ((_, outcome),) = outcomes.wait_for(1)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.SHUTDOWN)
    sender.gate.set()
    eventually(lambda: sender.at_once[1] == 0)
    outcomes.wait_for(1)
    assert len(outcomes) == 1


def test_send_after_close_is_deferred(open_front: Open, sender: Gated) -> None:
    front, outcomes = open_front(), Outcomes()
    front.close(1)
    front.send([make_message("x")], outcomes.record)
    ((_, outcome),) = outcomes.wait_for(1)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.DEFERRED, ErrorKind.SHUTDOWN)
    assert not sender.sent


def test_record_that_raises_costs_only_itself(
    open_front: Open, sender: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(message: Message, outcome: Outcome) -> None:
        raise RuntimeError("boom")

    front, outcomes = open_front(), Outcomes()
    front.send([make_message("x")], faulty)
    eventually(lambda: sender.sent)
    front.send([make_message("x")], outcomes.record)
    outcomes.wait_for(1)
    assert "engine.record_fault" in caplog.text


def test_sender_is_tidied_while_nothing_is_sent(open_front: Open, sender: Gated) -> None:
    front, outcomes = open_front(), Outcomes()
    front.send([make_message("x")], outcomes.record)
    outcomes.wait_for(1)
    before = sender.tidied
    eventually(lambda: sender.tidied > before)
