"""A rebuilt webhook request as a bash command that signs and sends it. Pure.

The signature is Standard Webhooks': base64 of HMAC-SHA256 over `id.timestamp.body`, keyed by what follows `whsec_`. openssl
computes it from the environment variable WEBHOOK_SECRET, so that no secret stands in the text. Needs bash, curl and openssl.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator

from delivery.rebuilt import Line, Rebuilt
from eventcenter.standardwebhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from subscriptions.models import Channel, Signing

TIMEOUT_S = 20
BASE64_LINE = 76
# What stands in a page's text and in single quotes as it is. A page turns CR into LF, and loses NUL.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
_NOT_A_NAME = re.compile(r"[^A-Z0-9]+")
_SIGN = (
    """key=$(printf %s "${WEBHOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \\n')""",
    """signature=$({ printf '%s.%s.' "$id" "$timestamp"; body; } |""",
    """  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)""",
)


def command(request: Rebuilt) -> str:
    """Of a webhook's request only. In a subshell: nothing of it stays in the shell that it was pasted into."""
    return "\n".join(["(", *_lines(request), ")", ""])


def is_possible(request: Rebuilt) -> bool:
    return request.channel == Channel.WEBHOOK and not request.problem


def _lines(request: Rebuilt) -> Iterator[str]:
    values = {line.name: line.value for line in request.headers}
    signed = Signing.HMAC in request.signings
    yield "set -eu"
    yield "# This calls the real receiver. It drops the message as a repeat if it has taken this webhook-id before."
    if request.signings and not signed:
        yield "# The endpoint signs by ed25519; the signature is left out here."
    if request.body_masked:
        yield "# The body holds a mask of asterisks (%2A in a form) where a secret of the endpoint goes: put it there first."
    yield from _needed(request, signed)
    yield from _body(request.body)
    yield f"id={shlex.quote(values[ID_HEADER])}"
    yield "timestamp=$(date +%s)"
    if signed:
        yield from _SIGN
    yield f"body | curl -sS -i --max-time {TIMEOUT_S} -X POST \\"
    for line in request.headers:
        if line.name != SIGNATURE_HEADER or signed:
            yield f"  -H {_header(line)} \\"
    yield "  -H 'Expect:' --data-binary @- \\"
    yield f"  {_url(request)}"


def _needed(request: Rebuilt, signed: bool) -> Iterator[str]:
    """What must be in the environment; bash says so and stops when it is not."""
    if signed:
        yield ': "${WEBHOOK_SECRET:?set it to the signing secret of the endpoint, whsec_…}"'
    if request.url_masked:
        yield f': "${{WEBHOOK_URL:?set it to the whole URL, {_plain(request.where)} and on}}"'
    for line in request.headers:
        if line.masked and line.name != SIGNATURE_HEADER:
            yield f': "${{{_variable(line)}:?set it to the value of the header {_plain(line.name)}}}"'


def _body(body: bytes) -> Iterator[str]:
    text = _as_text(body)
    if text is not None:
        yield f"body() {{ printf %s {shlex.quote(text)}; }}"
        return
    encoded = base64.b64encode(body).decode()
    yield "body() { openssl base64 -d <<'END'"
    yield from (encoded[start : start + BASE64_LINE] for start in range(0, len(encoded), BASE64_LINE))
    yield "END"
    yield "}"


def _as_text(body: bytes) -> str | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if _UNPRINTABLE.search(text) else text


def _header(line: Line) -> str:
    if line.name == SIGNATURE_HEADER:
        return f'"{SIGNATURE_HEADER}: v1,$signature"'
    if line.name == TIMESTAMP_HEADER:
        return f'"{TIMESTAMP_HEADER}: $timestamp"'
    if line.name == ID_HEADER:
        return f'"{ID_HEADER}: $id"'
    if line.masked:
        return f'{shlex.quote(f"{line.name}: ")}"${_variable(line)}"'
    # curl leaves out a header whose value is empty, unless it is written with a semicolon.
    return shlex.quote(f"{line.name}: {line.value}" if line.value else f"{line.name};")


def _url(request: Rebuilt) -> str:
    return '"$WEBHOOK_URL"' if request.url_masked else shlex.quote(request.where)


def _variable(line: Line) -> str:
    return f"HEADER_{_NOT_A_NAME.sub('_', line.name.upper())}"


def _plain(text: str) -> str:
    """For a message within double quotes and braces."""
    return re.sub(r"[^\w./:\- ]", "", text)
