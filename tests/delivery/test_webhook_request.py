from __future__ import annotations

import json
from uuid import UUID

from delivery.transports.base import Message, Sending
from delivery.transports.webhook import ContentMode, Target, build_message, make_target
from eventcenter.standardwebhooks import HEADERS, verify

DELIVERY = UUID("0198c0de-0000-7000-8000-000000000001")
OLD, NEW = b"o" * 32, b"n" * 32
NOW = 1_767_225_600
EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/pipelines/release",
    "type": "plugin.release.published",
    "subject": "plugins/größe",
    "time": "2026-01-01T00:00:00Z",
    "tenant": "alice",
    "datacontenttype": "application/json",
    "data": {"version": "1.2.3"},
}
BODY = json.dumps(EVENT).encode()


def target(mode: ContentMode = ContentMode.STRUCTURED, custom: list[tuple[str, str]] | None = None) -> Target:
    return make_target(
        endpoint_id=7,
        url="https://hooks.example.com/a",
        secrets=[NEW, OLD],
        mode=mode,
        timeout_s=3.0,
        custom_headers=custom or [],
    )


def build(to: Target, *, replay: bool = False, traceparent: str = "") -> Message:
    return build_message(to, Sending(DELIVERY, 2, BODY, NOW, traceparent, replay))


def check(secret: bytes, message: Message) -> None:
    msg_id, timestamp, signature = (dict(message.headers)[name] for name in HEADERS)
    verify([secret], msg_id, timestamp, signature, message.body, now=NOW)


def test_structured_message_carries_the_event_as_it_is() -> None:
    message = build(target(), traceparent="00-1-2-01")
    headers = dict(message.headers)
    assert message.body is BODY
    assert headers["webhook-id"] == str(DELIVERY)
    assert headers["webhook-timestamp"] == str(NOW)
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert headers["traceparent"] == "00-1-2-01"
    assert "x-event-center-replay" not in headers
    assert (message.endpoint_id, message.number, message.timeout_s) == (7, 2, 3.0)


def test_each_live_secret_verifies() -> None:
    message = build(target())
    headers = dict(message.headers)
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (OLD, NEW):
        check(secret, message)


def test_binary_message_moves_the_attributes_into_headers_and_signs_what_is_sent() -> None:
    message = build(target(ContentMode.BINARY))
    headers = dict(message.headers)
    assert json.loads(message.body) == {"version": "1.2.3"}
    assert headers["content-type"] == "application/json"
    assert headers["ce-id"] == "e-1"
    assert headers["ce-tenant"] == "alice"
    assert headers["ce-subject"] == "plugins/gr%C3%B6%C3%9Fe"
    check(NEW, message)


def test_replay_keeps_the_id_and_says_so() -> None:
    first, again = dict(build(target()).headers), dict(build(target(), replay=True).headers)
    assert again["x-event-center-replay"] == "true"
    assert again["webhook-id"] == first["webhook-id"]


def test_custom_headers_cannot_replace_ours() -> None:
    custom = [("Authorization", "Bearer t"), ("Webhook-Id", "forged"), ("HOST", "evil"), ("ce-type", "forged")]
    names = [name for name, _ in build(target(custom=custom)).headers]
    assert "Authorization" in names
    assert not {"Webhook-Id", "HOST", "ce-type"} & set(names)


def test_without_secrets_nothing_is_signed() -> None:
    bare = make_target(endpoint_id=7, url="https://hooks.example.com/a", secrets=[])
    assert "webhook-signature" not in dict(build(bare).headers)
