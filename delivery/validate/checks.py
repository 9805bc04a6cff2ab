"""What a receiver must do, and what its answers say about that. Pure.

Sources: Standard Webhooks 1.0 (signatures, five minutes of tolerance, redirects, the meaning of 410 and 429) and the
deadline of this system: an event is with its subscribers within 5 seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from delivery.outcome import ErrorKind, Outcome
from delivery.validate.samples import Sample, Signer
from subscriptions.retry_policy import GONE_STATUS, THROTTLING_STATUSES

DEADLINE_S = 5.0
# An answer that needs more than this share of the deadline will miss it on a bad day.
CLOSE_SHARE = 0.5


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"  # not sent: what was found before makes the answer worthless


@dataclass(frozen=True, slots=True)
class Check:
    """One request and the answer it must get. `fix` is for who runs the receiver."""

    name: str
    must: str
    takes: bool  # the receiver must take it (2xx); else it must refuse it (4xx)
    make: Callable[[Signer], Sample]
    fix: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a check. `ms` None where nothing was answered."""

    check: str
    level: Level
    must: str
    detail: str
    fix: str = ""
    ms: float | None = None


FIRST = Check(
    "answers",
    "answers 2xx to a signed event in time",
    True,
    Signer.right,
    "Answer 2xx as soon as the event is stored, before working on it; check that the receiver has this secret, and that it"
    " verifies the raw body, not parsed and printed again.",
)
OTHERS: tuple[Check, ...] = (
    Check(
        "wrong_signature",
        "rejects a wrong signature",
        False,
        Signer.wrong_signature,
        "Verify webhook-signature with your secret and answer 401 when no signature fits.",
    ),
    Check(
        "stale_timestamp",
        "rejects a timestamp more than 5 minutes old",
        False,
        Signer.stale,
        "Compare webhook-timestamp with your clock and answer 400 beyond 5 minutes: an old request can be replayed.",
    ),
    Check(
        "future_timestamp",
        "rejects a timestamp more than 5 minutes ahead",
        False,
        Signer.from_the_future,
        "Compare webhook-timestamp with your clock in both directions; see that your clock is synchronised.",
    ),
    Check(
        "changed_body",
        "rejects a body that was changed on the way",
        False,
        Signer.changed_body,
        "The signature is over webhook-id, webhook-timestamp and the raw body: verify all three.",
    ),
    Check(
        "unsigned",
        "rejects a request with no signature",
        False,
        Signer.unsigned,
        "Treat a missing webhook-signature like a wrong one.",
    ),
    Check(
        "rotation",
        "accepts one right signature among two",
        True,
        Signer.rotating,
        "Split webhook-signature at spaces and accept when any v1 signature fits: while a secret is changed there are two.",
    ),
    Check(
        "duplicate",
        "answers 2xx to an event it has already",
        True,
        Signer.right,
        "Keep the webhook-ids of the last days; answer 2xx to a known one and do nothing. An error makes us send it again.",
    ),
    Check(
        "extra_headers",
        "does not mind headers it does not know",
        True,
        Signer.with_extra_headers,
        "Read the headers that you need and leave the others alone.",
    ),
    Check(
        "extra_attributes",
        "does not mind event attributes it does not know",
        True,
        Signer.with_extra_attributes,
        "Read the attributes that you need and leave the others alone: CloudEvents may carry any extension.",
    ),
)


def judge(check: Check, outcome: Outcome, deadline_s: float) -> Finding:
    judged = _judge_taking if check.takes else _judge_refusing
    level, detail, fix = judged(check, outcome, deadline_s)
    ms = round(outcome.duration_ms, 1) if outcome.status_code else None
    return Finding(check.name, level, check.must, detail, fix, ms)


def skipped(check: Check) -> Finding:
    return Finding(check.name, Level.SKIP, check.must, "not sent: it proves nothing while the first one fails")


def judge_transport(url: str) -> Finding:
    must = "is reached over TLS"
    if url.lower().startswith("https:"):
        return Finding("tls", Level.OK, must, "https")
    fix = "Use https: the signature proves who sent the event, and hides nothing of it."
    return Finding("tls", Level.WARN, must, "the URL is not https", fix)


def judge_redirect(first: Outcome) -> Finding:
    must = "answers itself, without a redirect"
    if first.status_code is None:
        return Finding("no_redirect", Level.SKIP, must, "there was no answer")
    if 300 <= first.status_code < 400:
        fix = "Subscribe the address it leads to: redirects are never followed, since they could lead anywhere."
        return Finding("no_redirect", Level.FAIL, must, f"answered {first.status_code}", fix)
    return Finding("no_redirect", Level.OK, must, f"answered {first.status_code}")


Verdict = tuple[Level, str, str]


def _judge_taking(check: Check, outcome: Outcome, deadline_s: float) -> Verdict:
    if outcome.error_kind is ErrorKind.FORBIDDEN_ADDRESS:
        return Level.FAIL, outcome.error, FORBIDDEN_FIX
    if outcome.status_code is None:
        return Level.FAIL, outcome.error or "no answer", check.fix
    took = f"{outcome.status_code} in {outcome.duration_ms:.0f} ms"
    if not 200 <= outcome.status_code < 300:
        return Level.FAIL, took, check.fix
    if outcome.duration_ms >= deadline_s * 1000:
        return Level.FAIL, f"{took}: the answer did not end within {deadline_s:g} s", check.fix
    if outcome.duration_ms >= deadline_s * 1000 * CLOSE_SHARE:
        return Level.WARN, f"{took}: close to the deadline of {deadline_s:g} s", check.fix
    return Level.OK, took, ""


def _judge_refusing(check: Check, outcome: Outcome, _: float) -> Verdict:
    status = outcome.status_code
    if status is None:
        return Level.FAIL, outcome.error or "no answer", f"Answer 400 or 401. {check.fix}"
    if 200 <= status < 300:
        return Level.FAIL, f"{status}: it was accepted", check.fix
    if status == GONE_STATUS:
        return Level.WARN, f"{status}: the sender takes it for the endpoint's end", "Answer 400 or 401 instead."
    if status in THROTTLING_STATUSES and status < 500:
        return Level.WARN, f"{status}: the sender takes it for a plea to slow down", "Answer 400 or 401 instead."
    if not 400 <= status < 500:
        return Level.FAIL, f"{status}: not a refusal (4xx)", f"Answer 400 or 401. {check.fix}"
    return Level.OK, f"{status} in {outcome.duration_ms:.0f} ms", ""


FORBIDDEN_FIX = (
    "Our own address policy refuses it: webhooks go to public addresses only. Who runs this system may allow a network in"
    " WEBHOOK_ALLOWED_CIDRS."
)
