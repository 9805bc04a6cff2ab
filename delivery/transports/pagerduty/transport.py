"""The PagerDuty channel's sender.

Answers: PagerDuty developer docs, Events API v2 Overview, "Response Codes & Retry Logic": 202 accepted; 400 the event is not
valid, do not retry; 429 too many calls, retry after some time; 5xx retry after some time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from django.conf import settings

from delivery.addresses import AddressPolicy
from delivery.outbound import Answer, Outbound, OutboundError
from delivery.outcome import ErrorKind, Outcome, OutcomeKind, classify, describe_status, parse_retry_after
from delivery.transports.base import Gate, Message
from delivery.transports.front import Front
from delivery.transports.pooled import pooled
from subscriptions.channels.pagerduty import check_integration_key

BAD_REQUEST = 400
MAX_WORDS_CHARS = 200


def transport(gate: Gate) -> Front:
    """A Transport."""
    return pooled("pagerduty", make_sender, gate, threads=8)


def make_sender() -> PagerDutySender:
    return PagerDutySender(Outbound(AddressPolicy(settings.WEBHOOK_ALLOWED_CIDRS), settings.WEBHOOK_CA_BUNDLE))


class PagerDutySender:
    """A pool's Sender."""

    def __init__(self, outbound: Outbound, clock: Callable[[], float] = time.time) -> None:
        self._outbound = outbound
        self._clock = clock

    def send_one(self, message: Message) -> Outcome:
        key = message.sink.credentials.get("routing_key", "") if message.sink else ""
        fault = check_integration_key(key)
        if fault is not None:
            return Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.BROKER, error=fault)
        try:
            answer = self._outbound.post(message.url, message.body, dict(message.headers), message.timeout_s)
        except OutboundError as error:
            return Outcome(OutcomeKind.FAILED, error_kind=error.kind, error=error.words)
        return outcome_of(answer, self._clock())

    def tidy(self, now: float) -> None:
        self._outbound.enforce(now)

    def close(self) -> None:
        self._outbound.close()


def outcome_of(answer: Answer, now: float) -> Outcome:
    """`now`: epoch seconds, for a Retry-After that is a date."""
    kind, error_kind = classify(answer.status_code, ErrorKind.NONE)
    error = "" if kind is OutcomeKind.DELIVERED else describe_status(answer.status_code)
    retry_after_s = None
    if answer.status_code == BAD_REQUEST:
        kind, error_kind = OutcomeKind.PERMANENT, ErrorKind.BROKER
        error = f"PagerDuty refused the event{_complaints(answer.body)}"
    elif kind is OutcomeKind.THROTTLED:
        wanted = next((value for name, value in answer.headers if name.lower() == "retry-after"), None)
        retry_after_s = None if wanted is None else parse_retry_after(wanted, now)
    elif kind is OutcomeKind.GONE:  # PagerDuty's 410 would be a fault of its own; it has no word for "never again"
        kind = OutcomeKind.FAILED
    return Outcome(
        kind,
        answer.status_code,
        error_kind,
        error,
        response_headers=answer.headers,
        response_body=answer.body,
        remote_address=answer.remote_address,
        retry_after_s=retry_after_s,
    )


def _complaints(body: bytes) -> str:
    """ ": …" from the answer's `errors`, which name fields and rules, not values; "" when there are none."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    errors = said.get("errors") if isinstance(said, dict) else None
    if not isinstance(errors, list) or not errors:
        return ""
    return ": " + "; ".join(str(each) for each in errors)[:MAX_WORDS_CHARS]
