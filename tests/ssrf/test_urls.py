"""Every way to write a URL, through the real libcurl engine, with a decoy where it leads."""

from __future__ import annotations

import pytest

from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.transports.webhook import CurlOptions, WebhookTransport
from subscriptions.webhook_rules import check_url
from tests.fakes.inbox import Outcomes, make_message
from tests.ssrf.corpus import LOOPBACK, NAMES, REDIRECTS, URLS, WRITTEN_OTHERWISE, Case
from tests.ssrf.stage import LOOPBACK_CIDRS, Decoy, Fence

# Forms of loopback without TLS: what the decoy can be reached by where the deployment allows it.
REACHABLE = [case for case in (*LOOPBACK, *WRITTEN_OTHERWISE) if "{port}" in case.url and "https:" not in case.url]


def ids(case: Case) -> str:
    return case.name


def send(transport: WebhookTransport, url: str) -> Outcome:
    outcomes, message = Outcomes(), make_message(url)
    transport.send([message], outcomes.record)
    return outcomes.of(message)


def test_corpus_is_large_and_says_why() -> None:
    assert len(URLS) + len(NAMES) + len(REDIRECTS) >= 80
    assert len({case.url for case in URLS if case.name != "oracle"}) == len(URLS) - 1
    assert all(case.why for case in (*URLS, *NAMES))


@pytest.mark.parametrize("case", URLS, ids=ids)
def test_forbidden_socket_is_not_reached_when_a_tenant_writes_such_a_url(
    transport: WebhookTransport, fence: Fence, decoy: Decoy, case: Case
) -> None:
    fence.refused.clear()

    outcome = send(transport, case.at(decoy.port))

    assert (check_url(case.at(decoy.port)) is not None) == case.unsaved
    if case.unsaved:
        assert (outcome.kind, outcome.error_kind) == (OutcomeKind.PERMANENT, ErrorKind.BAD_URL)
        assert fence.refused == []  # it did not get as far as libcurl
    else:
        assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, ErrorKind.FORBIDDEN_ADDRESS)
        assert fence.refused
    assert fence.let_through == []
    assert decoy.connections == 0


@pytest.mark.parametrize("case", REACHABLE, ids=ids)
def test_decoy_is_reached_when_the_deployment_allows_loopback(decoy: Decoy, case: Case) -> None:
    opened = WebhookTransport(CurlOptions(Fence(LOOPBACK_CIDRS)))
    send(opened, case.at(decoy.port))
    opened.close(0.1)
    assert decoy.reached(1)
