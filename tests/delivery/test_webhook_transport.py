"""The webhook transport against a scripted receiver, on real loopback sockets."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from delivery.addresses import AddressPolicy
from delivery.outcome import MAX_RESPONSE_BODY_BYTES, ErrorKind, Outcome, OutcomeKind
from delivery.transports.base import Message
from delivery.transports.webhook import CurlOptions, Limits, WebhookTransport
from tests.fakes.certificate import make_certificate
from tests.fakes.inbox import Outcomes, make_message
from tests.fakes.receiver import Act, Answer, CloseSilently, Drip, Endless, Raw, Receiver, Reset, hang, redirect

LOOPBACK = AddressPolicy(["127.0.0.0/8", "::1/128"])
SHORT_S = 0.3  # a deadline that is meant to pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


@pytest.fixture
def transport() -> Iterator[WebhookTransport]:
    opened = WebhookTransport(CurlOptions(LOOPBACK))
    yield opened
    opened.close(0.1)


def send_one(transport: WebhookTransport, message: Message) -> Outcome:
    outcomes = Outcomes()
    transport.send([message], outcomes.record)
    return outcomes.of(message)


def answer_to(transport: WebhookTransport, receiver: Receiver, act: Act, timeout_s: float = 5.0) -> Outcome:
    return send_one(transport, make_message(receiver.script("/hook", act), timeout_s=timeout_s))


def test_request_arrives_as_it_was_given(transport: WebhookTransport, receiver: Receiver) -> None:
    headers = (("webhook-id", "1"), ("content-type", "application/cloudevents+json"), ("x-empty", ""))
    outcome = send_one(transport, make_message(receiver.url("/a?b=c"), headers=headers, body=b"\x00\xff" * 2000))
    (request,) = receiver.wait_for(1)
    assert outcome.kind is OutcomeKind.DELIVERED
    assert (request.method, request.path, request.body) == ("POST", "/a?b=c", b"\x00\xff" * 2000)
    assert request.header("webhook-id") == "1"
    assert request.header("x-empty") == ""
    assert request.header("content-type") == "application/cloudevents+json"
    assert (request.header("user-agent") or "").startswith("event-center/")
    assert request.header("expect") is None
    assert request.header("accept-encoding") is None


def test_outcome_tells_what_the_receiver_answered(transport: WebhookTransport, receiver: Receiver) -> None:
    outcome = answer_to(transport, receiver, Answer(201, [("X-Trace", "abc"), ("X-Trace", "d:e")], b"thanks"))
    assert outcome.kind is OutcomeKind.DELIVERED
    assert outcome.status_code == 201
    assert outcome.response_body == b"thanks"
    assert outcome.response_headers == (("Content-Length", "6"), ("X-Trace", "abc"), ("X-Trace", "d:e"))
    assert outcome.remote_address == f"127.0.0.1:{receiver.port}"
    assert outcome.started_at > 0
    assert outcome.duration_ms > 0
    assert outcome.error == ""


@pytest.mark.parametrize(
    ("act", "kind", "error_kind", "error"),
    [
        (Answer(400), OutcomeKind.FAILED, ErrorKind.HTTP_STATUS, "400 Bad Request"),
        (Answer(500), OutcomeKind.FAILED, ErrorKind.HTTP_STATUS, "500 Internal Server Error"),
        (Answer(410), OutcomeKind.GONE, ErrorKind.HTTP_STATUS, "410 Gone"),
        (Answer(503), OutcomeKind.THROTTLED, ErrorKind.HTTP_STATUS, "503"),
        (Reset(), OutcomeKind.FAILED, ErrorKind.RESET, "without an answer"),
        (CloseSilently(), OutcomeKind.FAILED, ErrorKind.RESET, "without an answer"),
        (Raw(b"HTTP/1.1 100 Continue\r\n\r\n"), OutcomeKind.FAILED, ErrorKind.RESET, "without an answer"),
        (Raw(b"SSH-2.0-OpenSSH\r\n"), OutcomeKind.FAILED, ErrorKind.PROTOCOL, "not HTTP"),
        (Raw(b"HTTP/9.9 200 OK\r\n\r\n"), OutcomeKind.FAILED, ErrorKind.PROTOCOL, "not HTTP"),
    ],
)
def test_failures(
    transport: WebhookTransport,
    receiver: Receiver,
    act: Act,
    kind: OutcomeKind,
    error_kind: ErrorKind,
    error: str,
) -> None:
    outcome = answer_to(transport, receiver, act)
    assert (outcome.kind, outcome.error_kind) == (kind, error_kind)
    assert error in outcome.error
    assert outcome.remote_address == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize(
    ("status", "value", "expected"), [(429, "7", 7.0), (503, "999999", 36_000.0), (502, "soon", None), (500, "7", None)]
)
def test_retry_after(
    transport: WebhookTransport, receiver: Receiver, status: int, value: str, expected: float | None
) -> None:
    assert answer_to(transport, receiver, Answer(status, [("retry-after", value)])).retry_after_s == expected


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(transport: WebhookTransport, receiver: Receiver, status: int) -> None:
    with Receiver() as decoy:
        outcome = answer_to(transport, receiver, redirect(decoy.url("/trap"), status))
        assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.REDIRECT)
        assert decoy.connections == 0
        assert len(receiver.requests) == 1


def test_host_that_does_not_resolve(transport: WebhookTransport) -> None:
    outcome = send_one(transport, make_message("http://no-such-host.invalid/"))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.DNS)


def test_refused_connection(transport: WebhookTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = send_one(transport, make_message(f"http://127.0.0.1:{port}/"))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.CONNECT_REFUSED)


def test_no_answer_ends_at_the_deadline(transport: WebhookTransport, receiver: Receiver) -> None:
    outcome = answer_to(transport, receiver, hang(), SHORT_S)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.TIMEOUT)
    assert outcome.error == "no answer within 0.3 s"


def test_endless_handshake_is_a_connect_timeout(transport: WebhookTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outcome = send_one(transport, make_message(f"https://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=SHORT_S))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.CONNECT_TIMEOUT)


@pytest.mark.parametrize(
    ("host", "trusted", "kind", "error_kind"),
    [
        ("127.0.0.1", True, OutcomeKind.DELIVERED, ErrorKind.NONE),
        ("127.0.0.1", False, OutcomeKind.FAILED, ErrorKind.TLS),
        ("localhost", True, OutcomeKind.FAILED, ErrorKind.TLS),  # the certificate is for another name
    ],
)
def test_certificate_is_checked(
    tmp_path: Path, host: str, trusted: bool, kind: OutcomeKind, error_kind: ErrorKind
) -> None:
    certificate = make_certificate(tmp_path, "127.0.0.1")
    transport = WebhookTransport(CurlOptions(LOOPBACK, ca_file=str(certificate.pem) if trusted else ""))
    with Receiver(tls=certificate.server_context()) as receiver:
        outcome = send_one(transport, make_message(f"https://{host}:{receiver.port}/"))
        transport.close()
        assert (outcome.kind, outcome.error_kind) == (kind, error_kind)
        assert len(receiver.requests) == (1 if kind is OutcomeKind.DELIVERED else 0)


def test_body_is_kept_to_its_cap(transport: WebhookTransport, receiver: Receiver) -> None:
    whole = answer_to(transport, receiver, Answer(200, body=b"a" * MAX_RESPONSE_BODY_BYTES))
    assert (len(whole.response_body), whole.error) == (MAX_RESPONSE_BODY_BYTES, "")
    cut = answer_to(transport, receiver, Answer(500, body=b"a" * (MAX_RESPONSE_BODY_BYTES + 1)))
    assert len(cut.response_body) == MAX_RESPONSE_BODY_BYTES
    assert (cut.kind, cut.error_kind) == (OutcomeKind.FAILED, ErrorKind.HTTP_STATUS)


@pytest.mark.parametrize(("status", "kind"), [(200, OutcomeKind.DELIVERED), (500, OutcomeKind.FAILED)])
def test_endless_body_is_given_up_and_the_status_decides(
    transport: WebhookTransport, receiver: Receiver, status: int, kind: OutcomeKind
) -> None:
    outcome = answer_to(transport, receiver, Endless(status), timeout_s=60)
    assert (outcome.kind, len(outcome.response_body)) == (kind, MAX_RESPONSE_BODY_BYTES)


def test_dripping_body_ends_at_the_deadline_and_the_status_decides(
    transport: WebhookTransport, receiver: Receiver
) -> None:
    outcome = answer_to(transport, receiver, Drip(status=200), SHORT_S)
    assert outcome.kind is OutcomeKind.DELIVERED
    assert "cut off" in outcome.error
    assert set(outcome.response_body) <= {ord("x")}


def test_dripping_header_ends_at_the_deadline(transport: WebhookTransport, receiver: Receiver) -> None:
    outcome = answer_to(transport, receiver, Drip(status=500, headers=True), SHORT_S)
    assert (outcome.kind, outcome.status_code) == (OutcomeKind.FAILED, 500)


def test_header_flood_is_given_up_and_capped(transport: WebhookTransport, receiver: Receiver) -> None:
    outcome = answer_to(transport, receiver, Endless(500, headers=True), timeout_s=60)
    assert (outcome.kind, outcome.status_code) == (OutcomeKind.FAILED, 500)
    assert 0 < sum(len(name) + len(value) for name, value in outcome.response_headers) <= 16 * 1024


def test_at_most_a_hundred_headers_are_kept(transport: WebhookTransport, receiver: Receiver) -> None:
    outcome = answer_to(transport, receiver, Answer(204, [(f"x-{n}", "v") for n in range(150)]))
    assert len(outcome.response_headers) == 100


def test_connections_are_kept_between_batches(transport: WebhookTransport, receiver: Receiver) -> None:
    for _ in range(5):
        assert send_one(transport, make_message(receiver.url())).kind is OutcomeKind.DELIVERED
    assert receiver.connections == 1


@pytest.mark.parametrize("closing", [Reset(), CloseSilently()])
def test_a_kept_connection_that_was_closed_is_replaced_at_once(
    transport: WebhookTransport, receiver: Receiver, closing: Act
) -> None:
    url = receiver.script("/", Answer(204), closing, Answer(204))
    assert send_one(transport, make_message(url)).kind is OutcomeKind.DELIVERED
    assert send_one(transport, make_message(url)).kind is OutcomeKind.DELIVERED
    assert [request.connection for request in receiver.requests] == [1, 1, 2]


def test_a_new_connection_that_was_closed_is_a_failure(transport: WebhookTransport, receiver: Receiver) -> None:
    url = receiver.script("/", Answer(204), Reset())
    assert send_one(transport, make_message(url)).kind is OutcomeKind.DELIVERED
    assert send_one(transport, make_message(url)).error_kind is ErrorKind.RESET
    assert [request.connection for request in receiver.requests] == [1, 1, 2]


def test_the_deadline_covers_the_repeated_request_too(transport: WebhookTransport, receiver: Receiver) -> None:
    url = receiver.script("/", Answer(204), CloseSilently(), hang())
    send_one(transport, make_message(url, timeout_s=SHORT_S))
    outcome = send_one(transport, make_message(url, timeout_s=SHORT_S))
    assert (outcome.error_kind, outcome.error) == (ErrorKind.TIMEOUT, "no answer within 0.3 s")
    other = receiver.url("/other")
    assert send_one(transport, make_message(other, timeout_s=SHORT_S)).kind is OutcomeKind.DELIVERED


def test_cap_per_endpoint_is_never_passed(receiver: Receiver) -> None:
    gate = threading.Event()
    transport = WebhookTransport(CurlOptions(LOOPBACK), Limits(in_flight=64, in_flight_per_endpoint=3))
    outcomes = Outcomes()
    transport.send([make_message(receiver.script("/", Answer(gate=gate))) for _ in range(20)], outcomes.record)
    receiver.wait_for(3)
    gate.set()
    outcomes.wait_for(20)
    transport.close()
    assert receiver.connections == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_forbidden_address_is_never_connected_to(host: str, receiver: Receiver) -> None:
    transport = WebhookTransport(CurlOptions(AddressPolicy()))
    outcome = send_one(transport, make_message(f"http://{host}:{receiver.port}/"))
    transport.close()
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.FORBIDDEN_ADDRESS)
    assert "loopback" in outcome.error
    assert receiver.connections == 0


def test_allowed_address_is_used_when_another_one_is_forbidden(receiver: Receiver) -> None:
    """localhost often is ::1 too; where it is not, this still shows that names work."""
    transport = WebhookTransport(CurlOptions(AddressPolicy(["127.0.0.0/8"])))
    outcome = send_one(transport, make_message(f"http://localhost:{receiver.port}/"))
    transport.close()
    assert outcome.kind is OutcomeKind.DELIVERED


def test_proxy_of_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    with Receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        transport = WebhookTransport(CurlOptions(LOOPBACK))
        assert send_one(transport, make_message(receiver.url())).kind is OutcomeKind.DELIVERED
        transport.close()
        assert proxy.connections == 0


@pytest.mark.parametrize(
    ("name", "value"), [("x-a", "1\r\nx-injected: 1"), ("x-a", "1\n"), ("x a", "1"), ("x-a", "\0"), ("x-a", "grün")]
)
def test_bad_header_is_refused_before_anything_is_sent(
    transport: WebhookTransport, receiver: Receiver, name: str, value: str
) -> None:
    outcome = send_one(transport, make_message(receiver.url(), headers=((name, value),)))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.PERMANENT, ErrorKind.BAD_REQUEST_HEADER)
    assert "injected" not in outcome.error
    assert receiver.connections == 0


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/hostname", "http://user:pw@127.0.0.1/", "nonsense"])
def test_bad_url_is_refused(transport: WebhookTransport, url: str) -> None:
    outcome = send_one(transport, make_message(url))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.PERMANENT, ErrorKind.BAD_URL)
    assert "pw" not in outcome.error


def test_hanging_endpoint_holds_nobody(transport: WebhookTransport, receiver: Receiver) -> None:
    stuck, quick = Outcomes(), Outcomes()
    slow_url = receiver.script("/slow", hang())
    transport.send([make_message(slow_url, endpoint_id=1, timeout_s=60) for _ in range(300)], stuck.record)
    receiver.wait_for(1, path="/slow")
    transport.send([make_message(receiver.url("/quick"), endpoint_id=2) for _ in range(300)], quick.record)
    assert all(outcome.kind is OutcomeKind.DELIVERED for _, outcome in quick.wait_for(300))
    assert len(stuck) == 0


def test_what_a_slow_endpoint_cannot_take_is_deferred(receiver: Receiver) -> None:
    limits = Limits(in_flight=16, in_flight_per_endpoint=2, waiting=100, waiting_per_slow_endpoint=10, patience_s=0.1)
    transport = WebhookTransport(CurlOptions(LOOPBACK), limits)
    outcomes = Outcomes()
    url = receiver.script("/slow", hang())
    transport.send([make_message(url, timeout_s=60) for _ in range(90)], outcomes.record)
    reports = outcomes.wait_for(78)
    transport.close(0.1)
    assert all(outcome.error_kind is ErrorKind.IN_FLIGHT_CAP for _, outcome in reports[:78])
    assert all(outcome.kind is OutcomeKind.DEFERRED and outcome.retry_after_s for _, outcome in reports[:78])


def test_send_blocks_while_too_much_waits_and_goes_on_when_there_is_room(receiver: Receiver) -> None:
    gate = threading.Event()
    url = receiver.script("/", Answer(gate=gate))
    transport = WebhookTransport(CurlOptions(LOOPBACK), Limits(in_flight=8, in_flight_per_endpoint=1, waiting=10))
    outcomes, returned = Outcomes(), threading.Event()

    def send_twice() -> None:
        for _ in range(2):
            transport.send([make_message(url) for _ in range(15)], outcomes.record)
        returned.set()

    sender = threading.Thread(target=send_twice)
    sender.start()
    receiver.wait_for(1)
    assert not returned.is_set()
    gate.set()
    outcomes.wait_for(30)
    sender.join(5)
    assert returned.is_set()
    transport.close()


def test_close_finishes_what_is_in_flight_and_defers_the_rest(receiver: Receiver) -> None:
    gate = threading.Event()
    url = receiver.script("/", Answer(gate=gate))
    transport = WebhookTransport(CurlOptions(LOOPBACK), Limits(in_flight=8, in_flight_per_endpoint=1))
    outcomes = Outcomes()
    transport.send([make_message(url) for _ in range(10)], outcomes.record)
    receiver.wait_for(1)
    closer = threading.Thread(target=transport.close, args=(30,))
    closer.start()
    early = outcomes.wait_for(9)
    assert {(outcome.kind, outcome.error_kind) for _, outcome in early} == {(OutcomeKind.DEFERRED, ErrorKind.SHUTDOWN)}
    gate.set()
    closer.join(10)
    assert outcomes.wait_for(10)[-1][1].kind is OutcomeKind.DELIVERED
    assert len(receiver.requests) == 1


def test_close_gives_up_at_its_deadline(receiver: Receiver) -> None:
    url = receiver.script("/", hang())
    transport = WebhookTransport(CurlOptions(LOOPBACK))
    outcomes = Outcomes()
    transport.send([make_message(url, timeout_s=60)], outcomes.record)
    receiver.wait_for(1)
    transport.close(0.05)
    ((_, outcome),) = outcomes.wait_for(1)
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.SHUTDOWN)


def test_send_after_close_is_deferred(transport: WebhookTransport, receiver: Receiver) -> None:
    transport.close()
    outcome = send_one(transport, make_message(receiver.url()))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.DEFERRED, ErrorKind.SHUTDOWN)
    assert receiver.connections == 0


def test_a_record_that_raises_costs_only_itself(
    transport: WebhookTransport, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(message: Message, outcome: Outcome) -> None:
        raise RuntimeError("boom")

    transport.send([make_message(receiver.url())], faulty)
    receiver.wait_for(1)
    assert send_one(transport, make_message(receiver.url())).kind is OutcomeKind.DELIVERED
    assert "webhook.record_fault" in caplog.text


def test_several_threads_share_a_transport(transport: WebhookTransport, receiver: Receiver) -> None:
    outcomes = Outcomes()

    def send_many(endpoint_id: int) -> None:
        for _ in range(5):
            batch = [make_message(receiver.url(f"/{endpoint_id}"), endpoint_id=endpoint_id) for _ in range(40)]
            transport.send(batch, outcomes.record)

    threads = [threading.Thread(target=send_many, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    reports = outcomes.wait_for(800)
    for thread in threads:
        thread.join()
    assert {outcome.kind for _, outcome in reports} == {OutcomeKind.DELIVERED}
    assert len(receiver.requests) == 800


def test_a_fault_in_the_engine_is_reported_and_sending_goes_on(
    transport: WebhookTransport, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    not_bytes = cast("bytes", object())
    outcome = send_one(transport, make_message(receiver.url(), body=not_bytes))
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.INTERNAL)
    assert "webhook.engine_fault" in caplog.text
    assert send_one(transport, make_message(receiver.url())).kind is OutcomeKind.DELIVERED


def test_no_descriptor_is_left_open(receiver: Receiver) -> None:
    url = receiver.script("/", Answer(204, close=True))
    before = len(os.listdir("/proc/self/fd"))
    transport = WebhookTransport(CurlOptions(LOOPBACK))
    outcomes = Outcomes()
    transport.send([make_message(url) for _ in range(100)], outcomes.record)
    assert {outcome.kind for _, outcome in outcomes.wait_for(100)} == {OutcomeKind.DELIVERED}
    transport.close()
    receiver.close()
    assert receiver.connections == 100
    assert len(os.listdir("/proc/self/fd")) <= before
