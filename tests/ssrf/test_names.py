"""Names whose owner answers with forbidden addresses, or with another address each time."""

from __future__ import annotations

import socket
import time

import pycurl
import pytest

from delivery.dialing import DialError, dial
from delivery.outcome import ErrorKind, Outcome
from delivery.transports.webhook.handle import CurlOptions, Handle
from tests.fakes.inbox import make_message
from tests.ssrf.corpus import NAMES, PUBLIC, PUBLIC_V6, Answers
from tests.ssrf.stage import LOOPBACK_CIDRS, Decoy, Fence, Resolver


def ids(answers: Answers) -> str:
    return answers.name


def call(handle: Handle, host: str, port: int, addresses: tuple[str, ...]) -> Outcome:
    """One request, as the engine makes it; the name server's answer is put into libcurl's cache for it."""
    given = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
    handle.load(make_message(f"http://{host}:{port}/"), [])
    handle.curl.setopt(pycurl.RESOLVE, [f"-{host}:{port}", f"{host}:{port}:{given}"])
    try:
        handle.curl.perform()
    except pycurl.error as error:
        return handle.outcome(*error.args)
    return handle.outcome(0, "")


@pytest.mark.parametrize("answers", NAMES, ids=ids)
def test_webhook_does_not_reach_a_forbidden_socket_whatever_its_name_server_says(
    decoy: Decoy, answers: Answers
) -> None:
    fence = Fence()
    handle = Handle(CurlOptions(fence))
    for addresses in answers.rounds:
        outcome = call(handle, answers.host, decoy.port, addresses)
        assert outcome.error_kind is ErrorKind.FORBIDDEN_ADDRESS
    handle.curl.close()
    said = {address for addresses in answers.rounds for address in addresses}
    assert {*fence.refused, *fence.let_through} == said
    assert set(fence.let_through) == said & {PUBLIC, PUBLIC_V6}
    assert decoy.connections == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_webhook_reaches_the_decoy_by_its_name_when_loopback_is_allowed(decoy: Decoy, address: str) -> None:
    handle = Handle(CurlOptions(Fence(LOOPBACK_CIDRS)))
    call(handle, "loop.evil.test", decoy.port, (address,))
    handle.curl.close()
    assert decoy.reached(1)


@pytest.mark.parametrize("answers", NAMES, ids=ids)
def test_dialled_host_does_not_lead_to_a_forbidden_socket_whatever_its_name_server_says(
    monkeypatch: pytest.MonkeyPatch, decoy: Decoy, answers: Answers
) -> None:
    """The door of brokers and PagerDuty."""
    resolver, fence = Resolver({answers.host: answers.rounds}), Fence()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    for _ in answers.rounds:
        with pytest.raises(DialError) as raised:
            dial(answers.host, decoy.port, fence, time.monotonic() + 5)
        assert raised.value.kind is ErrorKind.FORBIDDEN_ADDRESS
    assert len(resolver.asked) == len(answers.rounds)  # no second look-up between the check and the connection
    assert decoy.connections == 0


def test_dialled_name_leads_to_the_decoy_when_loopback_is_allowed(
    monkeypatch: pytest.MonkeyPatch, decoy: Decoy
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Resolver({"loop.evil.test": [["10.0.0.1", "127.0.0.1"]]}))
    dial("loop.evil.test", decoy.port, Fence(LOOPBACK_CIDRS), time.monotonic() + 5).close()
    assert decoy.reached(1)
