from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from delivery.models import Delivery
from delivery.rebuilt import Rebuilt, rebuilt
from delivery.transports.base import Sending
from delivery.transports.webhook import request as webhook_request
from subscriptions.models import Channel, Signing
from subscriptions.routing import delivery_settings
from subscriptions.services import seal_credentials, seal_headers
from tests.factories import DeliveryFactory, EndpointFactory, EndpointSecretFactory

pytestmark = pytest.mark.django_db
MASK = "********"


def to(**endpoint: Any) -> Delivery:
    made: Delivery = DeliveryFactory(subscription__endpoint=EndpointFactory(**endpoint))
    return made


def shown(found: Rebuilt) -> dict[str, str]:
    return {line.name: line.value for line in found.headers} | {line.name: line.value for line in found.terms}


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_it_is_what_the_channel_sends_but_for_the_secrets(mode: str) -> None:
    headers = seal_headers([("authorization", "Bearer hidden")])
    delivery = to(url="https://hooks.example.com/x?token=hidden", content_mode=mode, sealed_headers=headers)
    EndpointSecretFactory(endpoint=delivery.endpoint)
    moment = timezone.now()
    found = rebuilt(delivery, moment)
    sink = delivery_settings.reload().sinks[delivery.endpoint_id]
    event = delivery.event
    real = webhook_request.build(
        sink, Sending(delivery.pk, 1, bytes(event.body), int(moment.timestamp()), event.traceparent)
    )
    assert found.body == real.body
    assert found.where == "https://hooks.example.com/x"
    assert found.url_masked
    secret = {"authorization", "webhook-signature"}
    assert {n: v for n, v in shown(found).items() if n not in secret} == {
        n: v for n, v in real.headers if n not in secret
    }
    assert shown(found)["authorization"] == MASK
    assert shown(found)["webhook-signature"] == f"v1,{MASK}"
    assert "hidden" not in repr(found)


def test_every_live_secret_signs_and_ended_ones_do_not() -> None:
    delivery = to()
    EndpointSecretFactory(endpoint=delivery.endpoint, expires_at=timezone.now() + timedelta(days=1))
    EndpointSecretFactory(endpoint=delivery.endpoint, expires_at=timezone.now() - timedelta(days=1))
    EndpointSecretFactory(endpoint=delivery.endpoint, signing=Signing.ED25519)
    assert shown(rebuilt(delivery))["webhook-signature"] == f"v1a,{MASK} v1,{MASK}"


def test_template_is_filled_with_its_secrets_masked() -> None:
    delivery = to(
        template="gitlab",
        url="https://gitlab.example.com/api/v4/projects/1/trigger/pipeline",
        template_params={"ref": "main"},
        sealed_credentials=seal_credentials({"token": "glptt-hidden-token"}),
    )
    found = rebuilt(delivery)
    assert not found.problem
    assert found.body_masked
    assert b"glptt" not in found.body


def test_hook_url_that_is_a_secret_shows_its_host_alone() -> None:
    hook = {"hook_url": "https://hooks.slack.com/services/T0/B0/hidden"}
    found = rebuilt(to(template="slack", url="https://hooks.slack.com/…", sealed_credentials=seal_credentials(hook)))
    assert (found.where, found.url_masked) == ("https://hooks.slack.com/…", True)


def test_it_says_why_when_the_template_cannot_be_filled() -> None:
    delivery = to(
        template="github",
        url="https://api.github.com/repos/acme/site/dispatches",
        template_params={"event_type": "{{ event.data.nothing_like_it | date_of }}"},
        sealed_credentials=seal_credentials({"token": "hidden"}),
    )
    assert rebuilt(delivery).problem.startswith("It cannot be made of this event: ")


def test_replay_is_marked_and_each_attempt_has_its_own_timestamp() -> None:
    found = rebuilt(DeliveryFactory(delivered=True, replays=1))
    assert shown(found)["x-event-center-replay"] == "true"


def test_other_channels_speak_in_their_own_terms() -> None:
    kafka = shown(rebuilt(to(channel=Channel.KAFKA, url="", config={"topic": "releases", "key": "none"})))
    assert (kafka["Topic"], kafka["Key"]) == ("releases", "none: spread over the partitions")
    assert "event-center-delivery-id" in kafka
    secret = seal_credentials({"url": "amqp://ops:hidden@broker/"})
    config = {"exchange": "releases", "routing_key": "{type}"}
    amqp = rebuilt(to(channel=Channel.AMQP, url="", config=config, sealed_credentials=secret))
    assert shown(amqp)["Routing key"] == "plugin.release.published"
    assert "hidden" not in repr(amqp)
    feed = rebuilt(to(channel=Channel.CONSOLE, url=""))
    assert shown(feed)["Severity"] == "info"
    key = seal_credentials({"routing_key": "hidden-integration-key-000000000"})
    pager = rebuilt(to(channel=Channel.PAGERDUTY, url="", sealed_credentials=key))
    assert pager.body_masked
    assert b"hidden" not in pager.body
