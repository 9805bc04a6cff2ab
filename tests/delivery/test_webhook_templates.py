"""Endpoints with a template: through `build` and the real transport to a receiver on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs
from uuid import UUID

import pytest

from delivery.addresses import AddressPolicy
from delivery.outcome import OutcomeKind
from delivery.transports.base import Message, Sending
from delivery.transports.webhook import CurlOptions, WebhookTransport
from delivery.transports.webhook.request import build
from eventcenter.standardwebhooks import HEADERS, verify
from subscriptions.routing import Sink
from subscriptions.templating import MissingSecretError, TemplateError
from tests.fakes.inbox import Outcomes
from tests.fakes.receiver import Answer, Received, Receiver
from tests.subscriptions.templating.events import release
from tests.subscriptions.templating.services import CHECKERS, CREDENTIALS, URLS

DELIVERY = UUID("0198c0de-0000-7000-8000-000000000001")
SECRET = b"s" * 32
NOW = 1_767_225_600
EVENT = release("torch", "2.5.1+cu124", severity="security")
SENDING = Sending(DELIVERY, 1, EVENT, NOW)
PATHS = {
    "github": ("/api/v3/repos/acme/deploy/dispatches", Answer(204)),
    "gitlab": ("/api/v4/projects/42/trigger/pipeline", Answer(201, body=b'{"id": 1}')),
    "jenkins": ("/generic-webhook-trigger/invoke", Answer(200, body=b'{"jobs": {}}')),
    "slack": ("/services/T000/B000/abc", Answer(200, body=b"ok")),
    "pagerduty": ("/v2/enqueue", Answer(202, body=b'{"status": "success"}')),
    "plain": ("/releases", Answer(204)),
}


def sink(template: str, url: str = "", **changes: object) -> Sink:
    made = Sink(
        endpoint_id=7,
        tenant_id=1,
        tenant="acme",
        slug="hook",
        channel="webhook",
        url=url or URLS.get(template, "https://hooks.acme.example/"),
        content_mode="structured",
        headers=(),
        secrets=(SECRET,),
        timeout_s=5.0,
        state="enabled",
        credentials=CREDENTIALS.get(template, {}),
        template=template,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


@pytest.fixture
def transport() -> Iterator[WebhookTransport]:
    opened = WebhookTransport(CurlOptions(AddressPolicy(["127.0.0.0/8"])))
    yield opened
    opened.close(0.1)


def send(transport: WebhookTransport, receiver: Receiver, message: Message) -> Received:
    outcomes = Outcomes()
    transport.send([message], outcomes.record)
    assert outcomes.of(message).kind is OutcomeKind.DELIVERED
    (request,) = receiver.wait_for(1)
    return request


@pytest.mark.parametrize("name", sorted(PATHS))
def test_service_gets_its_request_signed_as_it_was_sent(
    transport: WebhookTransport, receiver: Receiver, name: str
) -> None:
    path, answer = PATHS[name]
    request = send(transport, receiver, build(sink(name, receiver.script(path, answer)), SENDING))
    headers = request.header_map()
    CHECKERS[name](receiver.url(path), headers, request.body)
    msg_id, timestamp, signature = (headers[header] for header in HEADERS)
    verify([SECRET], msg_id, timestamp, signature, request.body, now=NOW)
    assert msg_id == str(DELIVERY)


def test_headers_arrive_once_and_the_endpoints_own_come_first(transport: WebhookTransport, receiver: Receiver) -> None:
    url = receiver.script(PATHS["github"][0], Answer(204))
    custom = (("Authorization", "token own"), ("Content-Type", "text/plain"), ("X-Team", "release"))
    request = send(transport, receiver, build(sink("github", url, headers=custom), SENDING))
    names = [name.lower() for name, _ in request.headers]
    assert len(names) == len(set(names))
    assert request.header("authorization") == "token own"
    assert request.header("x-team") == "release"
    assert request.header("accept") == "application/vnd.github+json"
    assert request.header("content-type") == "application/json; charset=utf-8"


def test_replay_and_trace_are_told_with_a_template_too() -> None:
    message = build(sink("plain"), SENDING._replace(replay=True, traceparent="00-1-2-01"))
    headers = dict(message.headers)
    assert headers["x-event-center-replay"] == "true"
    assert headers["traceparent"] == "00-1-2-01"


def test_content_mode_does_not_matter_with_a_template() -> None:
    message = build(sink("gitlab", content_mode="binary", template_params={"ref": "v1"}), SENDING)
    assert parse_qs(message.body.decode())["ref"] == ["v1"]
    assert not [name for name, _ in message.headers if name.startswith("ce-")]


def test_new_settings_are_used_at_once_and_the_same_are_compiled_once() -> None:
    first = sink("slack", template_params={"text": "one"})
    assert json.loads(build(first, SENDING).body) == {"text": "one"}
    assert json.loads(build(replace(first, template_params={"text": "two"}), SENDING).body) == {"text": "two"}
    assert json.loads(build(replace(first, template=""), SENDING).body)["specversion"] == "1.0"


def test_event_that_does_not_fit_is_a_template_error() -> None:
    custom = sink("custom", template_params={"mapping": {"a": "{{ event.data.nope }}"}})
    with pytest.raises(TemplateError, match="nope is undefined") as caught:
        build(custom, SENDING)
    assert not isinstance(caught.value, MissingSecretError)


def test_template_that_cannot_be_used_is_an_error_each_time() -> None:
    unknown, bare = sink("nope"), sink("gitlab", credentials={})
    for _ in range(2):
        with pytest.raises(TemplateError, match="there is no template"):
            build(unknown, SENDING)
        with pytest.raises(MissingSecretError, match="token: is needed"):
            build(bare, SENDING)
