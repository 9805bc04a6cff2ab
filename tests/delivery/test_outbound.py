"""The door for outbound HTTP against a scripted receiver."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivery.addresses import AddressPolicy
from delivery.outbound import Answer as Got
from delivery.outbound import Outbound, OutboundError
from delivery.outcome import MAX_RESPONSE_BODY_BYTES, ErrorKind
from tests.fakes.certificate import make_certificate
from tests.fakes.receiver import Answer, CloseSilently, Drip, Endless, Raw, Receiver, Reset, hang, redirect

LOOPBACK = AddressPolicy(["127.0.0.0/8"])
SHORT_S = 0.3


@pytest.fixture
def outbound() -> Iterator[Outbound]:
    opened = Outbound(LOOPBACK)
    yield opened
    opened.close()


def post(outbound: Outbound, url: str, timeout_s: float = 5.0) -> Got:
    return outbound.post(url, b'{"n":1}', {"content-type": "application/json"}, timeout_s)


def refused(outbound: Outbound, url: str, timeout_s: float = 5.0) -> OutboundError:
    with pytest.raises(OutboundError) as raised:
        post(outbound, url, timeout_s)
    return raised.value


def test_request_arrives_and_its_answer_comes_back(outbound: Outbound, receiver: Receiver) -> None:
    answer = post(outbound, receiver.script("/v2/enqueue", Answer(202, [("x-a", "b")], b"ok")))
    (request,) = receiver.wait_for(1)
    assert (request.method, request.body) == ("POST", b'{"n":1}')
    assert request.header("content-type") == "application/json"
    assert request.header("user-agent") == "event-center/1.0"
    assert (answer.status_code, answer.body, dict(answer.headers)["x-a"]) == (202, b"ok", "b")
    assert answer.remote_address == f"127.0.0.1:{receiver.port}"


def test_redirect_is_an_answer(outbound: Outbound, receiver: Receiver) -> None:
    with Receiver() as decoy:
        assert post(outbound, receiver.script("/", redirect(decoy.url("/trap")))).status_code == 302
        assert decoy.connections == 0


def test_proxy_and_netrc_of_the_environment_are_ignored(
    outbound: Outbound, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with Receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert post(outbound, receiver.url()).status_code == 204
        assert proxy.connections == 0
    assert receiver.requests[0].header("authorization") is None


def test_cookies_are_not_kept(outbound: Outbound, receiver: Receiver) -> None:
    url = receiver.script("/", Answer(200, [("set-cookie", "a=b; Path=/")]))
    for _ in range(2):
        post(outbound, url)
    assert [request.header("cookie") for request in receiver.requests] == [None, None]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_forbidden_address_is_never_connected_to(receiver: Receiver, host: str) -> None:
    error = refused(Outbound(AddressPolicy()), f"http://{host}:{receiver.port}/")
    assert error.kind is ErrorKind.FORBIDDEN_ADDRESS
    assert "loopback" in error.words
    assert receiver.connections == 0


def test_host_that_does_not_resolve(outbound: Outbound) -> None:
    assert refused(outbound, "http://no-such-host.invalid/").kind is ErrorKind.DNS


def test_refused_connection(outbound: Outbound) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert refused(outbound, f"http://127.0.0.1:{port}/").kind is ErrorKind.CONNECT_REFUSED


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (Reset(), ErrorKind.RESET),
        (CloseSilently(), ErrorKind.RESET),
        (Raw(b"SSH-2.0-OpenSSH\r\n\r\n"), ErrorKind.RESET),
    ],
    ids=["reset", "closed", "another protocol"],
)
def test_no_answer_is_an_error(
    outbound: Outbound, receiver: Receiver, act: Reset | CloseSilently | Raw, kind: ErrorKind
) -> None:
    assert refused(outbound, receiver.script("/", act)).kind is kind


def test_silence_ends_at_the_deadline(outbound: Outbound, receiver: Receiver) -> None:
    error = refused(outbound, receiver.script("/", hang()), SHORT_S)
    assert (error.kind, error.words) == (ErrorKind.TIMEOUT, "no answer within 0.3 s")


def test_endless_body_is_cut_at_the_cap(outbound: Outbound, receiver: Receiver) -> None:
    answer = post(outbound, receiver.script("/", Endless(200)))
    assert (answer.status_code, len(answer.body)) == (200, MAX_RESPONSE_BODY_BYTES)


@pytest.mark.parametrize("act", [Drip(every_s=0.02, headers=True), Drip(every_s=0.02)], ids=["headers", "body"])
def test_dripping_answer_is_cut_off_when_somebody_enforces_the_deadline(
    outbound: Outbound, receiver: Receiver, act: Drip
) -> None:
    url, ended = receiver.script("/", act), threading.Event()

    def call() -> None:
        with contextlib.suppress(OutboundError):
            post(outbound, url, SHORT_S)
        ended.set()

    calling = threading.Thread(target=call)
    calling.start()
    for _ in range(200):
        outbound.enforce(time.monotonic())
        if ended.wait(0.05):
            break
    calling.join(1)
    assert ended.is_set()


@pytest.mark.parametrize(("host", "trusted"), [("127.0.0.1", True), ("127.0.0.1", False), ("localhost", True)])
def test_certificate_is_checked(tmp_path: Path, host: str, trusted: bool) -> None:
    certificate = make_certificate(tmp_path, "127.0.0.1")
    outbound = Outbound(LOOPBACK, str(certificate.pem) if trusted else "")
    with Receiver(tls=certificate.server_context()) as receiver:
        url = f"https://{host}:{receiver.port}/"
        if trusted and host == "127.0.0.1":
            assert post(outbound, url).status_code == 204
        else:
            assert refused(outbound, url).kind is ErrorKind.TLS
            assert not receiver.requests
