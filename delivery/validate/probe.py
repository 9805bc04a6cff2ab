"""Sends the samples through the webhook channel's own transport, one after the other."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from uuid import UUID

from delivery.outcome import Outcome, OutcomeKind
from delivery.transports.base import Gate, Message, Transport
from delivery.transports.registry import CHANNELS
from delivery.validate.checks import FIRST, OTHERS, Finding, Level, judge, judge_redirect, judge_transport, skipped
from delivery.validate.samples import Sample, Signer
from eventcenter.ids import new_id
from eventcenter.standardwebhooks import SigningKey, another_key
from subscriptions.models import Channel, ContentMode

# Nothing of ours waits longer than this after the deadline; the transport reports every message.
GRACE_S = 10.0
CLOSE_S = 1.0
NO_ENDPOINT = 0  # the samples belong to none


def validate(url: str, secret: SigningKey, mode: ContentMode, deadline_s: float) -> list[Finding]:
    """All findings, in the order in which they are to be read. Blocks for `deadline_s` a check at most."""
    transport = CHANNELS[Channel.WEBHOOK.value].make(Gate())
    try:
        return Probe(transport, url, deadline_s).run(secret, mode)
    finally:
        transport.close(CLOSE_S)


class Probe:
    def __init__(self, transport: Transport, url: str, deadline_s: float) -> None:
        self._transport = transport
        self._url = url
        self._deadline_s = deadline_s

    def run(self, secret: SigningKey, mode: ContentMode) -> list[Finding]:
        event_id, wrong = new_id(), another_key(secret)
        signer = Signer(secret, wrong, mode, str(event_id), str(event_id), int(time.time()))
        first = self._send(FIRST.make(signer))
        findings = [judge_transport(self._url), judge(FIRST, first, self._deadline_s), judge_redirect(first)]
        if first.kind is not OutcomeKind.DELIVERED:
            return findings + [skipped(check) for check in OTHERS]
        for check in OTHERS:
            # Each is an event of its own but for the one that must be known already.
            own_id = signer.msg_id if check.name == "duplicate" else str(new_id())
            fresh = replace(signer, event_id=own_id, msg_id=own_id, now=int(time.time()))
            findings.append(judge(check, self._send(check.make(fresh)), self._deadline_s))
        return findings

    def _send(self, sample: Sample) -> Outcome:
        outcomes: list[Outcome] = []
        done = threading.Event()

        def record(_: Message, outcome: Outcome) -> None:
            outcomes.append(outcome)
            done.set()

        webhook_id = UUID(dict(sample.headers)["webhook-id"])
        message = Message(webhook_id, NO_ENDPOINT, 1, self._url, sample.headers, sample.body, self._deadline_s)
        self._transport.send([message], record)
        if not done.wait(self._deadline_s + GRACE_S):
            raise TimeoutError("the transport did not report")
        return outcomes[0]


def is_good(findings: list[Finding]) -> bool:
    """No requirement is missed. What was not sent is not known to be met, but then another one failed."""
    return not any(finding.level is Level.FAIL for finding in findings)
