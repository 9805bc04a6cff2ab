"""The AMQP channel against a real RabbitMQ."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from uuid import uuid4

import amqp
import pytest

from config.stack.rabbitmq import RabbitMq
from delivery.addresses import AddressPolicy
from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.transports.amqp.request import REPLAY_HEADER, build
from delivery.transports.amqp.transport import IDLE_S, AmqpSender
from delivery.transports.amqp.transport import transport as amqp_transport
from delivery.transports.base import Gate
from subscriptions.channels.amqp import check_broker_url, check_exchange, check_routing_key
from tests.delivery.transports.sinks import DATA, TRACEPARENT, event_body, make_sending, make_sink, send_one
from tests.fakes.certificate import make_certificate
from tests.fakes.inbox import Outcomes

LOOPBACK = AddressPolicy(["127.0.0.0/8"])


@dataclass
class Broker:
    """A consumer's view of the broker, with an exchange and a queue of one test."""

    url: str
    channel: amqp.Channel
    exchange: str
    queue: str

    def next(self) -> amqp.Message | None:
        return self.channel.basic_get(self.queue, no_ack=True)


@pytest.fixture
def broker(rabbitmq_url: str) -> Iterator[Broker]:
    parts = urlsplit(rabbitmq_url)
    name = f"test-{uuid4().hex[:12]}"
    address = f"{parts.hostname}:{parts.port or 5672}"
    with amqp.Connection(address, parts.username, parts.password, login_method="PLAIN") as connection:
        channel = connection.channel()
        channel.exchange_declare(name, "topic", auto_delete=False)
        channel.queue_declare(name, auto_delete=False)
        channel.queue_bind(name, name, "plugin.#")
        yield Broker(rabbitmq_url, channel, name, name)
        channel.queue_delete(name)
        channel.exchange_delete(name)


@pytest.fixture
def sender() -> Iterator[AmqpSender]:
    opened = AmqpSender(LOOPBACK)
    yield opened
    opened.close()


def try_one(sender: AmqpSender, url: str, *, exchange: str = "", key: str = "plugin.x", **changes: object) -> Outcome:
    config = {"exchange": exchange, "routing_key": key}
    sink = make_sink("amqp", config=config, credentials={"url": url}, **changes)
    return sender.send_one(build(sink, make_sending()))


def connections_of(sender: AmqpSender) -> int:
    return sum(len(kept.links) for kept in sender._kept.values())


def test_binary_event_arrives_with_its_attributes_in_headers_when_asked_for(sender: AmqpSender, broker: Broker) -> None:
    config = {"exchange": broker.exchange, "routing_key": "plugin.{tenant}.{subject}"}
    sink = make_sink("amqp", config=config, credentials={"url": broker.url}, content_mode="binary")
    sending = make_sending(replay=True)
    assert sender.send_one(build(sink, sending)).kind is OutcomeKind.DELIVERED
    message = broker.next()
    assert message is not None
    headers = message.application_headers
    assert json.loads(message.body) == DATA
    assert message.delivery_info["routing_key"] == "plugin.acme.payments-gateway"
    assert message.properties["message_id"] == str(sending.delivery_id)
    assert message.properties["content_type"] == "application/json"
    assert message.properties["delivery_mode"] == 2
    assert message.properties["type"] == headers["cloudEvents_type"] == "plugin.release.published"
    assert headers["cloudEvents_specversion"] == "1.0"
    assert headers["traceparent"] == TRACEPARENT
    assert headers[REPLAY_HEADER] == "true"
    assert "cloudEvents_datacontenttype" not in headers
    assert broker.next() is None


def test_structured_event_is_the_body_when_nothing_else_is_said(sender: AmqpSender, broker: Broker) -> None:
    config = {"exchange": broker.exchange, "routing_key": "plugin.x", "persistent": False}
    sink = make_sink("amqp", config=config, credentials={"url": broker.url})
    body = event_body()
    assert sender.send_one(build(sink, make_sending(body))).kind is OutcomeKind.DELIVERED
    message = broker.next()
    assert message is not None
    assert bytes(message.body) == body
    assert message.properties["content_type"] == "application/cloudevents+json; charset=utf-8"
    assert message.properties["delivery_mode"] == 1
    assert REPLAY_HEADER not in message.application_headers


def test_default_exchange_leads_to_the_queue_of_that_name(sender: AmqpSender, broker: Broker) -> None:
    assert try_one(sender, broker.url, key=broker.queue).kind is OutcomeKind.DELIVERED
    assert broker.next() is not None


def test_unroutable_message_fails_and_the_connection_stays_good(sender: AmqpSender, broker: Broker) -> None:
    outcome = try_one(sender, broker.url, exchange=broker.exchange, key="nobody.listens")
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.BROKER)
    assert "no queue is bound" in outcome.error
    assert connections_of(sender) == 1
    assert try_one(sender, broker.url, exchange=broker.exchange).kind is OutcomeKind.DELIVERED
    assert connections_of(sender) == 1
    assert broker.next() is not None


def test_exchange_that_is_not_there_fails_and_the_next_message_goes_out(sender: AmqpSender, broker: Broker) -> None:
    outcome = try_one(sender, broker.url, exchange="no-such-exchange")
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.BROKER)
    assert outcome.error == "the broker has no such exchange"
    assert connections_of(sender) == 0
    assert try_one(sender, broker.url, exchange=broker.exchange).kind is OutcomeKind.DELIVERED


def test_queue_that_is_full_nacks(sender: AmqpSender, broker: Broker) -> None:
    full = f"{broker.queue}-full"
    broker.channel.queue_declare(full, auto_delete=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    assert try_one(sender, broker.url, key=full).kind is OutcomeKind.DELIVERED
    outcome = try_one(sender, broker.url, key=full)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.BROKER)
    assert "nack" in outcome.error
    broker.channel.queue_delete(full)


def test_wrong_password_is_told_without_the_password(sender: AmqpSender, broker: Broker) -> None:
    parts = urlsplit(broker.url)
    outcome = try_one(sender, f"amqp://guest:hunter2@{parts.hostname}:{parts.port}")
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.BROKER)
    assert "login" in outcome.error
    assert "hunter2" not in outcome.error


def test_virtual_host_that_is_not_there_is_told(sender: AmqpSender, broker: Broker) -> None:
    outcome = try_one(sender, broker.url.replace("%2F", "nowhere"))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.BROKER)


def test_refused_connection(sender: AmqpSender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = try_one(sender, f"amqp://u:p@127.0.0.1:{port}")
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.CONNECT_REFUSED)


def test_host_that_does_not_resolve(sender: AmqpSender) -> None:
    assert try_one(sender, "amqp://u:p@no-such-host.invalid").error_kind is ErrorKind.DNS


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_forbidden_address_is_never_connected_to(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        outcome = try_one(AmqpSender(AddressPolicy()), f"amqp://u:p@{host}:{listener.getsockname()[1]}")
        assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.FORBIDDEN_ADDRESS)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_silent_broker_ends_at_the_deadline(sender: AmqpSender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        outcome = try_one(sender, f"amqp://u:p@127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.3)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.CONNECT_TIMEOUT)


def test_broker_that_drips_is_cut_off_when_somebody_enforces_the_deadline(sender: AmqpSender) -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            opened, _ = listener.accept()
            with opened:
                while not stop.wait(0.02):
                    try:
                        opened.sendall(b"\x01")
                    except OSError:
                        return

        dripping = threading.Thread(target=drip)
        dripping.start()
        found: list[Outcome] = []
        url = f"amqp://u:p@127.0.0.1:{listener.getsockname()[1]}"
        trying = threading.Thread(target=lambda: found.append(try_one(sender, url, timeout_s=0.2)))
        trying.start()
        while trying.is_alive():
            sender.tidy(time.monotonic())
            trying.join(0.05)
        stop.set()
        dripping.join()
    assert found[0].kind is OutcomeKind.FAILED


@pytest.mark.parametrize(
    ("host", "trusted"), [("127.0.0.1", False), ("localhost", True)], ids=["unknown authority", "another name"]
)
def test_certificate_is_checked(tmp_path: Path, host: str, trusted: bool) -> None:
    """`localhost` is not what the certificate is for: the name that was given is checked, not the address."""
    certificate = make_certificate(tmp_path, "127.0.0.1")
    sender = AmqpSender(LOOPBACK, ca_file=str(certificate.pem) if trusted else "")
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shake_hands() -> None:
            opened, _ = listener.accept()
            with opened, contextlib.suppress(OSError):  # the client ends the handshake
                heard.append(certificate.server_context().wrap_socket(opened, server_side=True).recv(8))

        serving = threading.Thread(target=shake_hands)
        serving.start()
        outcome = try_one(sender, f"amqps://u:p@{host}:{listener.getsockname()[1]}")
        serving.join(5)
    assert not any(heard)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.TLS)


def test_message_goes_out_over_tls_when_the_name_is_the_certificate_s(tmp_path: Path, broker: Broker) -> None:
    """A forwarder ends TLS before the broker."""
    certificate = make_certificate(tmp_path, "127.0.0.1")
    sender, parts = AmqpSender(LOOPBACK, ca_file=str(certificate.pem)), urlsplit(broker.url)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def forward() -> None:
            opened, _ = listener.accept()
            inner = socket.create_connection((str(parts.hostname), parts.port or 5672))
            with inner, certificate.server_context().wrap_socket(opened, server_side=True) as outer:
                back = threading.Thread(target=_pump, args=(inner, outer))
                back.start()
                _pump(outer, inner)
                back.join(5)

        forwarding = threading.Thread(target=forward)
        forwarding.start()
        url = f"amqps://{parts.username}:{parts.password}@127.0.0.1:{listener.getsockname()[1]}"
        outcome = try_one(sender, url, exchange=broker.exchange)
        sender.close()
        forwarding.join(10)
    assert outcome.kind is OutcomeKind.DELIVERED
    assert broker.next() is not None


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def test_connection_is_kept_for_the_next_message_and_closed_when_idle(sender: AmqpSender, broker: Broker) -> None:
    for _ in range(3):
        assert try_one(sender, broker.url, exchange=broker.exchange).kind is OutcomeKind.DELIVERED
    assert connections_of(sender) == 1
    sender.tidy(time.monotonic())
    assert connections_of(sender) == 1
    sender.tidy(time.monotonic() + IDLE_S)
    assert connections_of(sender) == 0


def test_connection_to_a_url_that_changed_is_not_used_again(sender: AmqpSender, broker: Broker) -> None:
    assert try_one(sender, broker.url, exchange=broker.exchange).kind is OutcomeKind.DELIVERED
    changed = broker.url.replace("guest:guest", "guest:changed")
    assert try_one(sender, changed, exchange=broker.exchange).error_kind is ErrorKind.BROKER


def test_restarted_broker_is_met_again_at_once(sender: AmqpSender, rabbitmq_service: RabbitMq) -> None:
    """The kept connection is dead; the same attempt goes out on a new one. Bound to no queue, it is returned."""
    url = rabbitmq_service.url
    first = try_one(sender, url, exchange="amq.topic")
    rabbitmq_service.restart()
    second = try_one(sender, url, exchange="amq.topic")
    assert "no queue is bound" in first.error
    assert "no queue is bound" in second.error


@pytest.mark.parametrize(
    ("url", "exchange", "key"),
    [("http://h", "", "k"), ("", "", "k"), ("amqp://h", "x" * 256, "k"), ("amqp://h", "", "k" * 256)],
)
def test_settings_that_got_past_the_form_send_nothing(sender: AmqpSender, url: str, exchange: str, key: str) -> None:
    outcome = try_one(sender, url, exchange=exchange, key=key)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.PERMANENT, ErrorKind.BAD_URL)


def test_many_messages_each_arrive_once(broker: Broker) -> None:
    config = {"exchange": broker.exchange, "routing_key": "plugin.x"}
    sink = make_sink("amqp", config=config, credentials={"url": broker.url})
    messages, outcomes = [build(sink, make_sending()) for _ in range(200)], Outcomes()
    opened = amqp_transport(Gate())
    opened.send(messages, outcomes.record)
    assert {outcome.kind for _, outcome in outcomes.wait_for(200)} == {OutcomeKind.DELIVERED}
    opened.close(5)
    arrived = []
    while (message := broker.next()) is not None:
        arrived.append(message.properties["message_id"])
    assert sorted(arrived) == sorted(str(message.delivery_id) for message in messages)


def test_fault_of_ours_costs_its_message_only(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    opened = amqp_transport(Gate())
    config = {"exchange": broker.exchange, "routing_key": "plugin.x"}
    sink = make_sink("amqp", config=config, credentials={"url": broker.url})
    broken = build(sink, make_sending())
    broken.body = cast("bytes", object())
    outcome = send_one(opened, broken)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.INTERNAL)
    assert "pooled.send_fault" in caplog.text
    assert send_one(opened, build(sink, make_sending())).kind is OutcomeKind.DELIVERED
    opened.close(5)


@pytest.mark.parametrize(
    "url",
    ["http://h", "amqp://", "amqp://h:port", "amqp://h/a/b", "amqp://h/?heartbeat=1", "amqp://h h", "amqp://h/ü"],
)
def test_broker_url_that_cannot_be_used_is_refused_without_repeating_it(url: str) -> None:
    refusal = check_broker_url(url)
    assert refusal is not None
    assert url not in refusal


@pytest.mark.parametrize("url", ["amqp://h", "amqps://u:p%40@h:5671/", "amqp://u:p@[2001:db8::1]/%2Fvhost"])
def test_broker_url_that_can_be_used_is_taken(url: str) -> None:
    assert check_broker_url(url) is None


@pytest.mark.parametrize(("key", "taken"), [("a.{type}.{subject}.{tenant}", True), ("{id}", False), ("{type", False)])
def test_routing_key_takes_three_placeholders(key: str, taken: bool) -> None:
    assert (check_routing_key(key) is None) is taken


def test_names_are_short_strings() -> None:
    assert check_exchange("x" * 255) is None
    assert check_exchange("ü" * 128) is not None
