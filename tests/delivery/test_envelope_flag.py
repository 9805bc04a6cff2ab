"""event-bus-v2 off: what the tenant's endpoints get is v1; signature, ids and headers stay as they are."""

from __future__ import annotations

import json

import pytest

from delivery.transports.amqp.request import build as build_amqp
from delivery.transports.kafka.request import DELIVERY_ID_HEADER
from delivery.transports.kafka.request import build as build_kafka
from delivery.transports.webhook.request import build as build_webhook
from eventcenter.envelope import parse_kafka, parse_structured, parse_v1
from eventcenter.flags import Flag
from eventcenter.models import FeatureFlag
from eventcenter.standardwebhooks import HEADERS, verify
from subscriptions.routing import delivery_settings
from tests.delivery.transports.sinks import DATA, TRACEPARENT, event_body, make_sending, make_sink
from tests.factories import EndpointFactory
from tests.waiting import eventually

V1 = "application/vnd.event-center.v1+json; charset=utf-8"
SECRET = b"s" * 32
BODY = event_body(tags="stable,eu")


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_webhook_carries_v1_and_is_signed_over_it_when_the_flag_is_off(mode: str) -> None:
    sink = make_sink("webhook", url="https://a.example/", secrets=(SECRET,), content_mode=mode, envelope_v1=True)
    sending = make_sending(BODY, replay=True)

    message = build_webhook(sink, sending)

    headers = dict(message.headers)
    assert parse_v1(message.body) == parse_structured(BODY)
    assert json.loads(message.body)["payload"] == DATA
    assert headers.pop("content-type") == V1
    msg_id, timestamp, signature = (headers.pop(name) for name in HEADERS)
    assert msg_id == str(sending.delivery_id)
    verify([SECRET], msg_id, timestamp, signature, message.body, now=sending.timestamp)
    assert headers == {"traceparent": TRACEPARENT, "x-event-center-replay": "true"}


def test_webhook_keeps_its_templates_form_when_the_flag_is_off() -> None:
    values = {"url": "https://a.example/", "template": "slack", "template_params": {}, "content_mode": "structured"}

    old, new = (
        build_webhook(make_sink("webhook", envelope_v1=off, endpoint_id=int(off), **values), make_sending(BODY)).body
        for off in (True, False)
    )

    assert old == new


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_kafka_message_carries_v1_when_the_flag_is_off(mode: str) -> None:
    sink = make_sink("kafka", config={"topic": "t"}, content_mode=mode, envelope_v1=True)
    sending = make_sending(BODY)

    message = build_kafka(sink, sending)

    assert parse_kafka([(name, value.encode()) for name, value in message.headers], message.body) == parse_structured(
        BODY
    )
    assert dict(message.headers) == {
        "content-type": V1,
        DELIVERY_ID_HEADER: str(sending.delivery_id),
        "traceparent": TRACEPARENT,
    }
    assert message.key == b"payments-gateway"


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_amqp_message_carries_v1_when_the_flag_is_off(mode: str) -> None:
    config = {"exchange": "events", "routing_key": "{type}"}

    message = build_amqp(make_sink("amqp", config=config, content_mode=mode, envelope_v1=True), make_sending(BODY))

    assert (message.content_type, message.routing_key) == (V1, "plugin.release.published")
    assert parse_v1(message.body) == parse_structured(BODY)
    assert dict(message.headers) == {"traceparent": TRACEPARENT}


@pytest.mark.django_db
def test_endpoints_of_the_tenant_alone_turn_to_v1_within_two_seconds_when_the_flag_goes_off_for_it() -> None:
    off, on = EndpointFactory(tenant__slug="acme"), EndpointFactory(tenant__slug="globex")
    flag, _ = FeatureFlag.objects.get_or_create(name=Flag.EVENT_BUS_V2, defaults={"everyone": True})
    assert not any(sink.envelope_v1 for sink in delivery_settings.get().sinks.values())

    flag.tenants.set([on.tenant])
    flag.everyone = None
    flag.save()

    assert eventually(lambda: delivery_settings.get().sinks[off.pk].envelope_v1, 2)
    assert not delivery_settings.get().sinks[on.pk].envelope_v1
