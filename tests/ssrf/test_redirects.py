"""A receiver that may be called sends us on to what may not be."""

from __future__ import annotations

from itertools import product

import pytest

from delivery.outbound import Outbound
from delivery.outcome import ErrorKind, OutcomeKind
from delivery.transports.webhook import CurlOptions, WebhookTransport
from tests.fakes.inbox import Outcomes, make_message
from tests.fakes.receiver import Receiver, redirect
from tests.ssrf.corpus import REDIRECT_STATUSES, REDIRECTS
from tests.ssrf.stage import LOOPBACK_CIDRS, Decoy, Fence


def test_no_redirect_is_followed_when_a_receiver_answers_with_one(receiver: Receiver, decoy: Decoy) -> None:
    """The decoy's own address would be let through here: it is the redirect that is not followed."""
    fence = Fence(LOOPBACK_CIDRS)
    opened, outcomes = WebhookTransport(CurlOptions(fence)), Outcomes()
    messages = [
        make_message(receiver.script(f"/{number}", redirect(target.replace("{port}", str(decoy.port)), status)))
        for number, (status, target) in enumerate(product(REDIRECT_STATUSES, REDIRECTS))
    ]
    opened.send(messages, outcomes.record)
    reports = outcomes.wait_for(len(messages))
    opened.close(0.1)
    assert {(each.kind, each.error_kind) for _, each in reports} == {(OutcomeKind.FAILED, ErrorKind.REDIRECT)}
    assert set(fence.let_through) == {receiver.host}
    assert len(receiver.requests) == len(messages)
    assert decoy.connections == 0


@pytest.mark.parametrize("target", REDIRECTS)
def test_redirect_is_an_answer_when_the_other_door_meets_one(receiver: Receiver, decoy: Decoy, target: str) -> None:
    outbound = Outbound(Fence(LOOPBACK_CIDRS))
    for status in REDIRECT_STATUSES:
        url = receiver.script("/", redirect(target.replace("{port}", str(decoy.port)), status))
        assert outbound.post(url, b"{}", {}, 5.0).status_code == status
    outbound.close()
    assert decoy.connections == 0
