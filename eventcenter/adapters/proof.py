"""How each forge proves itself. Pure; secrets are compared in constant time, and every live one is tried.

The sources: docs.github.com "Validating webhook deliveries"; docs.gitlab.com "Webhooks" (secret token, signing token);
goharbor.io "Configure Webhook Notifications" (auth header); distribution.github.io "Work with notifications" (headers).
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from eventcenter.adapters.message import Message, Proof
from eventcenter.standardwebhooks import (
    HEADERS,
    SIGNATURE_HEADER,
    SignatureFault,
    VerificationError,
    decode_secret,
    verify,
)

GITHUB_SIGNATURE = "X-Hub-Signature-256"
GITLAB_TOKEN = "X-Gitlab-Token"  # noqa: S105 - a header's name
AUTHORIZATION = "Authorization"

_FAULTS = {
    SignatureFault.MISSING_HEADER: Proof.MISSING,
    SignatureFault.STALE: Proof.STALE,
    SignatureFault.FROM_THE_FUTURE: Proof.STALE,
}


def github(secrets: Sequence[str], message: Message) -> Proof:
    """`sha256=` and the hex HMAC-SHA256 of the raw body; the key is the secret's text as it stands in the form."""
    given = message.headers.get(GITHUB_SIGNATURE, "")
    digests = ["sha256=" + hmac.digest(secret.encode(), message.body, "sha256").hex() for secret in secrets]
    return _one_of(digests, given)


def gitlab(secrets: Sequence[str], message: Message) -> Proof:
    """A signature, where there is one, decides alone: it covers the body, which the token does not."""
    if SIGNATURE_HEADER in message.headers:
        return _signed(secrets, message)
    return _one_of(secrets, message.headers.get(GITLAB_TOKEN, ""))


def registry(secrets: Sequence[str], message: Message) -> Proof:
    """The header as it was configured: the secret alone, or after `Bearer `."""
    given = message.headers.get(AUTHORIZATION, "")
    return _one_of(secrets, given[7:] if given[:7].lower() == "bearer " else given)


def _signed(secrets: Sequence[str], message: Message) -> Proof:
    """GitLab's signing token is a Standard Webhooks secret."""
    keys = [decode_secret(secret) for secret in secrets]
    msg_id, timestamp, signature = (message.headers.get(name) for name in HEADERS)
    try:
        verify(keys, msg_id, timestamp, signature, message.body, now=message.now.timestamp())
    except VerificationError as error:
        return _FAULTS.get(error.fault, Proof.WRONG)
    return Proof.GOOD


def _one_of(expected: Sequence[str], given: str) -> Proof:
    if not given:
        return Proof.MISSING
    sent, matched = given.encode("utf-8", "surrogateescape"), False
    for candidate in expected:
        matched |= hmac.compare_digest(candidate.encode(), sent)
    return Proof.GOOD if matched else Proof.WRONG
