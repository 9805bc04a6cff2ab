"""The command is run by bash, as it is copied, and what arrives is compared with what the channel itself would send."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from delivery.console import curl
from delivery.models import Delivery
from delivery.rebuilt import Line, Rebuilt, rebuilt
from eventcenter.access.roles import Role
from eventcenter.standardwebhooks import HEADERS, decode_secret, verify
from subscriptions.models import Channel, EndpointSecret, Signing
from subscriptions.services import seal_credentials, seal_headers
from tests.factories import DeliveryFactory, EndpointFactory, EndpointSecretFactory, UserFactory
from tests.fakes.receiver import Received, Receiver

pytestmark = pytest.mark.django_db
SECRET = "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCwgdGhpcnR5LXR3byBi"
ENVIRONMENT = {"PATH": os.environ["PATH"]}
AWKWARD = {"quote": 'it\'s "so" $HOME `id` \\ !x', "lines": "a\nb\n\n", "word": "Größe – 語 🙂", "tail": "x\n"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def delivery_to(url: str, data: Any = None, **endpoint: Any) -> Delivery:
    made: Delivery = DeliveryFactory(subscription__endpoint=EndpointFactory(url=url, **endpoint))
    if data is not None:
        made.event.body = json.dumps(json.loads(made.event.body) | {"data": data}, ensure_ascii=False).encode()
        made.event.save()
    return made


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-s"], input=command, env=ENVIRONMENT | environment, capture_output=True, text=True, check=False
    )


def header(request: Received, name: str) -> str:
    return next(value for key, value in request.headers if key.lower() == name)


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_receiver_can_verify_it_when_bash_ran_it(receiver: Receiver, mode: str) -> None:
    delivery = delivery_to(receiver.url("/hook"), AWKWARD, content_mode=mode)
    EndpointSecretFactory(endpoint=delivery.endpoint, secret=SECRET)
    sent = rebuilt(delivery)
    done = run(curl.command(sent), WEBHOOK_SECRET=SECRET)
    assert done.returncode == 0, done.stderr
    [got] = receiver.requests
    assert (got.method, got.path, got.body) == ("POST", "/hook", sent.body)
    parts = [header(got, name) for name in HEADERS]
    verify([decode_secret(SECRET)], *parts, got.body, now=int(parts[1]))
    for line in sent.headers:
        if not line.masked and line.name != "webhook-timestamp":
            assert header(got, line.name) == line.value


def test_masked_values_come_from_the_environment(receiver: Receiver) -> None:
    headers = seal_headers([("authorization", "Bearer real-token"), ("x-team", "ops")])
    delivery = delivery_to(receiver.url("/hook?token=real"), sealed_headers=headers)
    command = curl.command(rebuilt(delivery))
    assert "real" not in command.replace("real receiver", "")
    given = {
        "HEADER_AUTHORIZATION": "Bearer mine",
        "HEADER_X_TEAM": "qa",
        "WEBHOOK_URL": receiver.url("/hook?token=mine"),
    }
    assert run(command, **given).returncode == 0
    [got] = receiver.requests
    assert (header(got, "authorization"), header(got, "x-team"), got.path) == ("Bearer mine", "qa", "/hook?token=mine")


def test_it_says_what_it_needs_and_sends_nothing_when_the_secret_is_missing(receiver: Receiver) -> None:
    delivery = delivery_to(receiver.url("/hook"))
    EndpointSecretFactory(endpoint=delivery.endpoint, secret=SECRET)
    done = run(curl.command(rebuilt(delivery)))
    assert done.returncode != 0
    assert "WEBHOOK_SECRET: set it to the signing secret" in done.stderr
    assert receiver.requests == []


@pytest.mark.parametrize("body", [b"", b"\x00\xff\r\n" * 3000, b"'" * 200_000, b"\n\nx\n"])
def test_any_bytes_arrive_as_they_are(receiver: Receiver, body: bytes) -> None:
    lines = [Line("webhook-id", "msg_1"), Line("webhook-timestamp", "1"), Line("x-empty", ""), Line("x-$`", "a'b$c")]
    sent = Rebuilt(Channel.WEBHOOK, receiver.url("/a'b"), headers=lines, body=body)
    done = run(curl.command(sent))
    assert done.returncode == 0, done.stderr
    [got] = receiver.requests
    assert got.body == body
    assert header(got, "x-$`") == "a'b$c"
    assert header(got, "x-empty") == ""


def test_ed25519_is_left_out_and_said(receiver: Receiver) -> None:
    delivery = delivery_to(receiver.url("/hook"))
    EndpointSecretFactory(endpoint=delivery.endpoint, signing=Signing.ED25519)
    command = curl.command(rebuilt(delivery))
    assert "signs by ed25519; the signature is left out" in command
    assert run(command).returncode == 0
    [got] = receiver.requests
    assert "webhook-signature" not in {name.lower() for name, _ in got.headers}


def test_command_is_on_the_page_and_alone_for_who_may_operate(client: Client) -> None:
    delivery = delivery_to("https://hooks.example.com/x", AWKWARD)
    EndpointSecretFactory(endpoint=delivery.endpoint, secret=SECRET)
    page, alone = (reverse(name, args=[delivery.pk]) for name in ("delivery", "delivery-curl"))
    client.force_login(UserFactory(roles=[(delivery.tenant, Role.OPERATOR)]))
    text = client.get(alone)
    assert text["content-type"] == "text/plain; charset=utf-8"
    shown = client.get(page).content.decode()
    assert escape(text.content.decode().rstrip()) in shown
    assert 'data-copy-from="curl"' in shown
    viewer = Client()
    viewer.force_login(UserFactory(roles=[(delivery.tenant, Role.VIEWER)]))
    assert alone not in viewer.get(page).content.decode()
    assert viewer.get(alone).status_code == 403


def test_long_command_is_a_page_of_its_own(client: Client) -> None:
    delivery = delivery_to("https://hooks.example.com/x", {"text": "x" * 40_000})
    client.force_login(UserFactory(roles=[(delivery.tenant, Role.OPERATOR)]))
    shown = client.get(reverse("delivery", args=[delivery.pk])).content.decode()
    assert 'data-copy-from="curl"' not in shown
    assert "The first 32 KB of it." in shown
    alone = reverse("delivery-curl", args=[delivery.pk])
    assert alone in shown
    assert "x" * 40_000 in client.get(alone).content.decode()


def test_there_is_no_command_when_the_channel_is_no_webhook(client: Client) -> None:
    delivery = delivery_to(
        "", channel=Channel.PAGERDUTY, sealed_credentials=seal_credentials({"routing_key": "k" * 32})
    )
    client.force_login(UserFactory(roles=[(delivery.tenant, Role.OPERATOR)]))
    assert client.get(reverse("delivery-curl", args=[delivery.pk])).status_code == 404
    assert EndpointSecret.objects.count() == 0
