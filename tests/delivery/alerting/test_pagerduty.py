"""Pages to PagerDuty by its own client, against a local server that checks the protocol."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx2
import pytest
from pytest_django import Settings

from delivery.alerting import pagerduty as channel
from delivery.alerting.calling import Answer, Result
from delivery.alerting.contacts import send
from delivery.alerting.pagerduty import EVENTS_URL, EventsClient, base_url
from delivery.models import PageAction
from tests.delivery.alerting.calls import KEY, make_call
from tests.fakes.certificate import make_certificate
from tests.fakes.pagerduty import PagerDuty
from tests.fakes.receiver import Answer as Scripted
from tests.fakes.receiver import Receiver, redirect


def test_trigger_says_what_when_where_and_links(pagerduty: PagerDuty) -> None:
    assert send(make_call()) == Answer(Result.SENT, "PagerDuty took it.")
    [event] = pagerduty.alerts["event-center-1"]
    assert (event["routing_key"], event["event_action"], event["client"]) == (KEY, "trigger", "Event Center")
    assert event["client_url"] == "https://events.example.com/console/alerts/1"
    assert [link["href"] for link in event["links"]] == [
        event["client_url"],
        "https://events.example.com/runbook#failure-rate",
    ]
    payload = event["payload"]
    assert (payload["severity"], payload["source"], payload["class"]) == (
        "critical",
        "event-center/acme/ci-cd",
        "failure_rate",
    )
    assert (payload["component"], payload["group"], payload["timestamp"]) == ("ci-cd", "acme", "2026-01-01T12:00:00Z")
    assert payload["custom_details"]["value"] == 0.1


def test_acknowledge_and_resolve_meet_the_trigger(pagerduty: PagerDuty) -> None:
    for action in PageAction:
        assert send(make_call(action)).result is Result.SENT
    assert [action for _, action in pagerduty.events] == ["trigger", "acknowledge", "resolve"]
    assert list(pagerduty.alerts) == ["event-center-1"]


@pytest.mark.parametrize("severity", ["info", "warning", "critical"])
def test_every_severity_of_ours_is_one_of_theirs(pagerduty: PagerDuty, severity: str) -> None:
    call = make_call()
    assert send(make_call(body={**call.body, "severity": severity})).result is Result.SENT


@pytest.mark.parametrize(
    ("status", "headers", "result", "wait_s"),
    [
        (400, {}, Result.REFUSED, None),
        (413, {}, Result.REFUSED, None),
        (401, {}, Result.LATER, None),
        (404, {}, Result.LATER, None),
        (429, {"retry-after": "7"}, Result.LATER, 7.0),
        (429, {}, Result.LATER, None),
        (500, {}, Result.LATER, None),
        (502, {}, Result.LATER, None),
        (503, {"retry-after": "30"}, Result.LATER, 30.0),
        (504, {}, Result.LATER, None),
    ],
)
def test_one_call_is_one_request_whatever_the_answer(
    pagerduty: PagerDuty, status: int, headers: dict[str, str], result: Result, wait_s: float | None
) -> None:
    pagerduty.answers = [(status, headers)]
    answer = send(make_call())
    assert (answer.result, answer.retry_after_s, pagerduty.requests) == (result, wait_s, 1)
    assert str(status) in answer.words
    assert KEY[-4:] not in answer.words


def test_refusal_says_which_field_pagerduty_does_not_take(pagerduty: PagerDuty) -> None:
    answer = send(make_call(body={**make_call().body, "severity": "doom"}))
    assert answer.result is Result.REFUSED
    assert "'payload.severity' is invalid" in answer.words


@pytest.mark.parametrize("body", [b"", b"[]", b'{"status": "success"}', b"\xff"])
def test_answer_in_another_form_is_asked_for_again(settings: Settings, body: bytes) -> None:
    with Receiver() as receiver:
        settings.PAGERDUTY_EVENTS_URL = receiver.script("/v2/enqueue", Scripted(202, body=body))
        assert send(make_call()).result is Result.LATER


def test_outage_is_an_answer_when_nobody_listens(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings.PAGERDUTY_EVENTS_URL = f"http://127.0.0.1:{port}/v2/enqueue"
    assert send(make_call()) == Answer.later("PagerDuty is not reached: ConnectError.")


def test_request_ends_when_pagerduty_hangs(pagerduty: PagerDuty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventsClient, "timeout", httpx2.Timeout(0.2))
    pagerduty.answering.clear()
    assert send(make_call()) == Answer.later("PagerDuty is not reached: ReadTimeout.")


def test_redirect_is_not_followed(settings: Settings) -> None:
    with Receiver() as decoy, Receiver() as receiver:
        settings.PAGERDUTY_EVENTS_URL = receiver.script("/v2/enqueue", redirect(decoy.url("/trap"), 307))
        assert send(make_call()) == Answer.later("PagerDuty answered 307.")
        assert decoy.connections == 0


def test_proxy_of_the_environment_is_not_used(pagerduty: PagerDuty, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url(""))
        assert send(make_call()).result is Result.SENT
        assert proxy.connections == 0


def test_stranger_s_certificate_is_not_trusted(settings: Settings, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "127.0.0.1")
    with Receiver(tls=certificate.server_context()) as receiver:
        settings.PAGERDUTY_EVENTS_URL = receiver.url("/v2/enqueue")
        assert send(make_call()) == Answer.later("PagerDuty is not reached: ConnectError.")
        settings.WEBHOOK_CA_BUNDLE = str(certificate.pem)
        receiver.script("/v2/enqueue", Scripted(202, body=b'{"dedup_key": "event-center-1"}'))
        assert send(make_call()).result is Result.SENT


def test_nothing_is_sent_when_the_key_cannot_be_read(pagerduty: PagerDuty) -> None:
    assert send(make_call(routing_key="")).result is Result.LATER
    assert pagerduty.requests == 0


@pytest.mark.parametrize(
    ("named", "base"),
    [
        ("", EVENTS_URL),
        ("https://events.eu.pagerduty.com/v2/enqueue", "https://events.eu.pagerduty.com"),
        ("https://relay.example.com/pd/v2/enqueue", "https://relay.example.com/pd"),
        ("https://events.pagerduty.com", EVENTS_URL),
    ],
)
def test_base_url_is_what_stands_before_the_path(settings: Settings, named: str, base: str) -> None:
    settings.PAGERDUTY_EVENTS_URL = named
    assert base_url() == base


def test_key_is_not_shown_when_a_call_is() -> None:
    assert KEY not in repr(make_call())
    assert "summary" in channel.properties(make_call())["payload"]
