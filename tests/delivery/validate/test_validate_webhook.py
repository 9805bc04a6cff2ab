"""What `manage.py validate_webhook` finds in receivers that do right, and in those that do wrong in one way each."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.validate.checks import FIRST, OTHERS, Level, judge
from delivery.validate.samples import OTHER_VERSION, VERSION, sample_event
from eventcenter.registry import SCHEMA_DIRECTORY
from eventcenter.schemas import SchemaSet, load_schemas
from eventcenter.standardwebhooks import generate_secret
from tests.fakes.verifying import Behaviour, Request, VerifyingReceiver, right, slow, verifies

REFUSALS = ("wrong_signature", "stale_timestamp", "future_timestamp", "changed_body", "unsigned")


def check(url: str, secret: str, *arguments: str) -> tuple[int, list[str], dict[str, Any]]:
    """Exit code, the lines for people, and the last line's JSON."""
    out = io.StringIO()
    code = 0
    try:
        call_command("validate_webhook", url, "--secret", secret, "--json", *arguments, stdout=out)
    except SystemExit as stopped:
        code = int(str(stopped.code))
    *lines, last = out.getvalue().splitlines()
    return code, lines, json.loads(last)


def levels(found: dict[str, Any]) -> dict[str, str]:
    return {finding["check"]: finding["level"] for finding in found["findings"]}


def failing(found: dict[str, Any]) -> set[str]:
    return {name for name, level in levels(found).items() if level == Level.FAIL}


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_all_is_well_when_the_receiver_does_right(mode: str) -> None:
    secret = generate_secret()
    with VerifyingReceiver(secret) as receiver:
        code, lines, found = check(receiver.url, secret, "--mode", mode)

    assert (code, found["ok"], found["mode"]) == (0, True, mode)
    names = [FIRST.name, "no_redirect", *(each.name for each in OTHERS)]
    assert levels(found) == {"tls": Level.WARN} | dict.fromkeys(names, Level.OK)
    assert len(receiver.requests) == 1 + len(OTHERS)
    assert sum(line.startswith("ok ") for line in lines) == 2 + len(OTHERS)
    binary = [request for request in receiver.requests if "ce-type" in request.headers]
    assert len(binary) == (len(receiver.requests) if mode == "binary" else 0)


def careless(_: VerifyingReceiver, __: Request) -> int:
    return 200


def ignores_the_clock(receiver: VerifyingReceiver, request: Request) -> int:
    moment = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    expected = receiver.webhook.sign(request.headers["webhook-id"], moment, request.body.decode())
    return 204 if expected in request.headers.get("webhook-signature", "").split(" ") else 401


def trusts_the_future(receiver: VerifyingReceiver, request: Request) -> int:
    is_ahead = int(request.headers["webhook-timestamp"]) > time.time() + 60
    return ignores_the_clock(receiver, request) if is_ahead else right(receiver, request)


def leaves_the_body_out(receiver: VerifyingReceiver, request: Request) -> int:
    return right(receiver, replace(request, body=request.body.replace(OTHER_VERSION.encode(), VERSION.encode())))


def lets_unsigned_through(receiver: VerifyingReceiver, request: Request) -> int:
    return right(receiver, request) if "webhook-signature" in request.headers else 204


def reads_the_first_signature_only(receiver: VerifyingReceiver, request: Request) -> int:
    first = request.headers.get("webhook-signature", "").split(" ")[0]
    return right(receiver, replace(request, headers=request.headers | {"webhook-signature": first}))


def refuses_what_it_has(receiver: VerifyingReceiver, request: Request) -> int:
    known = {earlier.headers["webhook-id"] for earlier in receiver.requests}
    return 409 if request.headers["webhook-id"] in known else right(receiver, request)


def refuses_unknown_headers(receiver: VerifyingReceiver, request: Request) -> int:
    return 400 if "x-event-center-unknown" in request.headers else right(receiver, request)


def refuses_unknown_attributes(receiver: VerifyingReceiver, request: Request) -> int:
    return 422 if b"unknownextension" in request.body else right(receiver, request)


def breaks_on_bad_signatures(receiver: VerifyingReceiver, request: Request) -> int:
    return 204 if verifies(receiver.webhook, request) else 500


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (careless, set(REFUSALS)),
        (ignores_the_clock, {"stale_timestamp", "future_timestamp"}),
        (trusts_the_future, {"future_timestamp"}),
        (leaves_the_body_out, {"changed_body"}),
        (lets_unsigned_through, {"unsigned"}),
        (reads_the_first_signature_only, {"rotation"}),
        (refuses_what_it_has, {"duplicate"}),
        (refuses_unknown_headers, {"extra_headers"}),
        (refuses_unknown_attributes, {"extra_attributes"}),
        (breaks_on_bad_signatures, set(REFUSALS)),
    ],
)
def test_what_is_wrong_is_found_and_nothing_else_when_one_thing_is_wrong(
    behaviour: Behaviour, expected: set[str]
) -> None:
    secret = generate_secret()
    with VerifyingReceiver(secret, behaviour) as receiver:
        code, lines, found = check(receiver.url, secret)

    assert (code, found["ok"], failing(found)) == (1, False, expected)
    assert sum(line.startswith("FAIL") for line in lines) == len(expected)
    assert all(finding["fix"] for finding in found["findings"] if finding["level"] == Level.FAIL)


@pytest.mark.parametrize("status", [410, 429])
def test_refusal_is_warned_of_when_its_status_means_something_else_to_us(status: int) -> None:
    def behaviour(receiver: VerifyingReceiver, request: Request) -> int:
        return 204 if verifies(receiver.webhook, request) else status

    secret = generate_secret()
    with VerifyingReceiver(secret, behaviour) as receiver:
        code, _, found = check(receiver.url, secret)

    assert code == 0
    assert {name for name, level in levels(found).items() if level == Level.WARN} == {"tls", *REFUSALS}


def test_nothing_but_the_first_is_sent_when_the_receiver_has_another_secret() -> None:
    with VerifyingReceiver(generate_secret()) as receiver:
        code, _, found = check(receiver.url, generate_secret())

    assert (code, failing(found), len(receiver.requests)) == (1, {FIRST.name}, 1)
    assert {levels(found)[each.name] for each in OTHERS} == {Level.SKIP}


def test_redirect_is_reported_and_not_followed_when_the_receiver_sends_one() -> None:
    secret = generate_secret()
    with (
        VerifyingReceiver(secret) as target,
        VerifyingReceiver(secret, lambda *_: 307, location=target.url) as receiver,
    ):
        code, _, found = check(receiver.url, secret)

    assert (code, failing(found)) == (1, {FIRST.name, "no_redirect"})
    assert (len(receiver.requests), len(target.requests)) == (1, 0)


def test_deadline_is_missed_when_the_answer_is_slow() -> None:
    secret = generate_secret()
    with VerifyingReceiver(secret, slow(1.5)) as receiver:
        code, _, found = check(receiver.url, secret, "--timeout", "0.3")

    assert (code, failing(found)) == (1, {FIRST.name})


def test_nothing_is_sent_when_the_address_is_refused(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_CIDRS = []
    secret = generate_secret()
    with VerifyingReceiver(secret) as receiver:
        code, lines, found = check(receiver.url, secret)

    assert (code, failing(found), receiver.requests) == (1, {FIRST.name}, [])
    assert any("loopback" in line for line in lines)
    assert any("WEBHOOK_ALLOWED_CIDRS" in line for line in lines)


def test_nothing_is_sent_when_the_secret_is_not_one() -> None:
    with VerifyingReceiver(generate_secret()) as receiver, pytest.raises(CommandError, match="--secret"):
        check(receiver.url, "hunter2")
    assert receiver.requests == []


def test_secret_is_read_from_standard_input_when_it_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = generate_secret()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{secret}\n"))
    with VerifyingReceiver(secret) as receiver:
        assert check(receiver.url, "-")[0] == 0


@pytest.mark.parametrize(("ms", "level"), [(2400.0, Level.OK), (2500.0, Level.WARN), (5000.0, Level.FAIL)])
def test_answer_is_judged_by_its_share_of_the_deadline(ms: float, level: Level) -> None:
    outcome = Outcome(OutcomeKind.DELIVERED, status_code=200, duration_ms=ms)
    assert judge(FIRST, outcome, 5.0).level is level


def test_finding_says_so_when_there_was_no_answer() -> None:
    outcome = Outcome(OutcomeKind.FAILED, error_kind=ErrorKind.RESET, error="the connection was reset")
    for each in (FIRST, *OTHERS):
        finding = judge(each, outcome, 5.0)
        assert (finding.level, finding.detail, finding.ms) == (Level.FAIL, "the connection was reset", None)


def test_sample_is_what_the_schema_takes() -> None:
    event = sample_event("1", 1_800_000_000, {})
    schemas = SchemaSet(load_schemas(SCHEMA_DIRECTORY))
    assert schemas.problems(event.type, event.dataschema, event.datacontenttype, event.data, event.tenant) == []
