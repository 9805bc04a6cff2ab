"""The PagerDuty channel against a local server that checks the protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from delivery.addresses import AddressPolicy
from delivery.outbound import Outbound
from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.transports.base import Gate
from delivery.transports.pagerduty.request import URLS, build
from delivery.transports.pagerduty.transport import PagerDutySender
from delivery.transports.pagerduty.transport import transport as pagerduty_transport
from subscriptions.channels.pagerduty import check_integration_key
from subscriptions.routing import Sink
from tests.delivery.transports.sinks import DATA, event_body, make_sending, make_sink
from tests.fakes.inbox import Outcomes
from tests.fakes.pagerduty import PagerDuty, complaints
from tests.fakes.receiver import Answer, Receiver, redirect

KEY = "R0123456789abcdef0123456789abcde"


@pytest.fixture
def pagerduty(settings: Settings) -> Iterator[PagerDuty]:
    with PagerDuty() as running:
        settings.PAGERDUTY_EVENTS_URL = running.url
        yield running


@pytest.fixture
def sender() -> Iterator[PagerDutySender]:
    opened = PagerDutySender(Outbound(AddressPolicy(["127.0.0.0/8"])))
    yield opened
    opened.close()


def sink_with(key: str = KEY, **config: object) -> Sink:
    return make_sink("pagerduty", config=config, credentials={"routing_key": key})


def try_one(sender: PagerDutySender, body: bytes | None = None, **config: object) -> Outcome:
    return sender.send_one(build(sink_with(**config), make_sending(body)))


def test_alert_holds_what_the_event_says(sender: PagerDutySender, pagerduty: PagerDuty) -> None:
    body = event_body({**DATA, "url": "https://releases.example.com/1", "changelog_url": "http://plain.example.com"})
    sending = make_sending(body)
    outcome = sender.send_one(build(sink_with(), sending))
    assert (outcome.kind, outcome.status_code, outcome.error) == (OutcomeKind.DELIVERED, 202, "")
    assert json.loads(outcome.response_body)["status"] == "success"
    assert outcome.remote_address.startswith("127.0.0.1:")
    ((event,),) = pagerduty.alerts.values()
    payload = event["payload"]
    assert (event["routing_key"], event["event_action"]) == (KEY, "trigger")
    assert payload["summary"] == "plugin.release.published payments-gateway 2.4.1"
    assert (payload["source"], payload["severity"]) == ("/pipelines/release", "info")
    assert payload["timestamp"] == "2026-01-01T12:00:00Z"
    assert (payload["component"], payload["group"]) == ("payments-gateway", "acme")
    assert payload["class"] == "plugin.release.published"
    assert payload["custom_details"]["data"]["version"] == "2.4.1"
    assert payload["custom_details"]["delivery_id"] == str(sending.delivery_id)
    assert event["links"] == [{"href": "https://releases.example.com/1", "text": "Open"}]


def test_retry_and_replay_meet_the_first_alert(sender: PagerDutySender, pagerduty: PagerDuty) -> None:
    sending = make_sending()
    again = make_sending(delivery_id=sending.delivery_id, replay=True)
    for each in (sending, again):
        assert sender.send_one(build(sink_with(), each)).kind is OutcomeKind.DELIVERED
    assert [len(triggers) for triggers in pagerduty.alerts.values()] == [2]
    assert list(pagerduty.alerts) == [str(sending.delivery_id)]


@pytest.mark.parametrize(
    ("chosen", "said", "severity"),
    [
        ("event", "critical", "critical"),
        ("event", "Warning", "warning"),
        ("event", "doom", "info"),
        ("event", None, "info"),
        ("error", "info", "error"),
    ],
)
def test_severity_is_the_event_s_or_the_endpoint_s(
    sender: PagerDutySender, pagerduty: PagerDuty, chosen: str, said: str | None, severity: str
) -> None:
    data = {"severity": said} if said else {}
    assert try_one(sender, event_body(data), severity=chosen).kind is OutcomeKind.DELIVERED
    ((event,),) = pagerduty.alerts.values()
    assert event["payload"]["severity"] == severity


@pytest.mark.parametrize(
    "body",
    [
        event_body({"summary": "x" * 5000}),
        event_body(None),
        event_body([1]),
        event_body({}, subject="s" * 512, source="/" + "x" * 500),
        event_body({"summary": "  "}, time="2026-01-01T12:00:00.123456Z"),
    ],
    ids=["long summary", "no data", "list", "long attributes", "blank summary"],
)
def test_any_event_makes_a_request_that_pagerduty_takes(
    sender: PagerDutySender, pagerduty: PagerDuty, body: bytes
) -> None:
    assert try_one(sender, body).kind is OutcomeKind.DELIVERED
    assert len(pagerduty.alerts) == 1


def test_what_pagerduty_refuses_is_final_and_says_why(sender: PagerDutySender, pagerduty: PagerDuty) -> None:
    message = build(sink_with(), make_sending())
    message.body = message.body.replace(b'"severity": "info"', b'"severity": "doom"')
    outcome = sender.send_one(message)
    assert (outcome.kind, outcome.error_kind, outcome.status_code) == (OutcomeKind.PERMANENT, ErrorKind.BROKER, 400)
    assert "'payload.severity' is invalid" in outcome.error
    assert KEY not in outcome.error
    assert not pagerduty.alerts


@pytest.mark.parametrize(
    ("status", "headers", "kind", "wait_s"),
    [
        (429, {"retry-after": "7"}, OutcomeKind.THROTTLED, 7.0),
        (429, {}, OutcomeKind.THROTTLED, None),
        (503, {}, OutcomeKind.THROTTLED, None),
        (500, {}, OutcomeKind.FAILED, None),
        (410, {}, OutcomeKind.FAILED, None),
    ],
)
def test_what_may_pass_is_tried_again(
    sender: PagerDutySender,
    pagerduty: PagerDuty,
    status: int,
    headers: dict[str, str],
    kind: OutcomeKind,
    wait_s: float | None,
) -> None:
    pagerduty.answers.append((status, headers))
    outcome = try_one(sender)
    assert (outcome.kind, outcome.error_kind) == (kind, ErrorKind.HTTP_STATUS)
    assert outcome.retry_after_s == wait_s
    assert try_one(sender).kind is OutcomeKind.DELIVERED


def test_unusable_key_sends_nothing(sender: PagerDutySender, pagerduty: PagerDuty) -> None:
    outcome = sender.send_one(build(sink_with("short"), make_sending()))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.PERMANENT, ErrorKind.BROKER)
    assert "short" not in outcome.error
    assert pagerduty.requests == 0


def test_redirect_is_not_followed(sender: PagerDutySender, settings: Settings) -> None:
    with Receiver() as decoy, Receiver() as receiver:
        settings.PAGERDUTY_EVENTS_URL = receiver.script("/v2/enqueue", redirect(decoy.url("/trap"), 307))
        outcome = try_one(sender)
        assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.REDIRECT)
        assert decoy.connections == 0


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"errors": "x"}', b"\xff"])
def test_refusal_in_another_form_is_final_too(sender: PagerDutySender, settings: Settings, answer: bytes) -> None:
    with Receiver() as receiver:
        settings.PAGERDUTY_EVENTS_URL = receiver.script("/v2/enqueue", Answer(400, body=answer))
        outcome = try_one(sender)
    assert (outcome.kind, outcome.error) == (OutcomeKind.PERMANENT, "PagerDuty refused the event")


@pytest.mark.parametrize("region", ["us", "eu"])
def test_region_decides_the_host(settings: Settings, region: str) -> None:
    settings.PAGERDUTY_EVENTS_URL = ""
    assert build(sink_with(region=region), make_sending()).url == URLS[region]


@pytest.mark.parametrize(("key", "taken"), [(KEY, True), (KEY[:-1], False), (KEY[:-1] + "-", False), ("", False)])
def test_integration_key_is_32_letters_and_digits(key: str, taken: bool) -> None:
    refusal = check_integration_key(key)
    assert (refusal is None) is taken
    assert not key or key not in (refusal or "")


def test_transport_sends_a_batch_and_closes(pagerduty: PagerDuty, settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_CIDRS = ["127.0.0.0/8"]
    transport, outcomes = pagerduty_transport(Gate()), Outcomes()
    transport.send([build(sink_with(), make_sending()) for _ in range(30)], outcomes.record)
    assert {outcome.kind for _, outcome in outcomes.wait_for(30)} == {OutcomeKind.DELIVERED}
    transport.close(5)
    assert len(pagerduty.alerts) == 30


def test_fake_refuses_what_pagerduty_would() -> None:
    assert complaints({"routing_key": "x", "event_action": "nudge", "extra": 1, "links": [{}]})
    assert complaints([])
