from __future__ import annotations

import pytest

from delivery.outcome import (
    MAX_RETRY_AFTER_S,
    ErrorKind,
    OutcomeKind,
    classify,
    deferred,
    describe_status,
    parse_retry_after,
)

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("status", "kind", "error_kind"),
    [
        (200, OutcomeKind.DELIVERED, ErrorKind.NONE),
        (204, OutcomeKind.DELIVERED, ErrorKind.NONE),
        (299, OutcomeKind.DELIVERED, ErrorKind.NONE),
        (301, OutcomeKind.FAILED, ErrorKind.REDIRECT),
        (304, OutcomeKind.FAILED, ErrorKind.REDIRECT),
        (308, OutcomeKind.FAILED, ErrorKind.REDIRECT),
        (400, OutcomeKind.FAILED, ErrorKind.HTTP_STATUS),
        (401, OutcomeKind.FAILED, ErrorKind.HTTP_STATUS),
        (404, OutcomeKind.FAILED, ErrorKind.HTTP_STATUS),
        (410, OutcomeKind.GONE, ErrorKind.HTTP_STATUS),
        (429, OutcomeKind.THROTTLED, ErrorKind.HTTP_STATUS),
        (500, OutcomeKind.FAILED, ErrorKind.HTTP_STATUS),
        (502, OutcomeKind.THROTTLED, ErrorKind.HTTP_STATUS),
        (503, OutcomeKind.THROTTLED, ErrorKind.HTTP_STATUS),
        (504, OutcomeKind.THROTTLED, ErrorKind.HTTP_STATUS),
        (599, OutcomeKind.FAILED, ErrorKind.HTTP_STATUS),
        (799, OutcomeKind.FAILED, ErrorKind.HTTP_STATUS),
    ],
)
def test_status_decides_whatever_the_client_says(status: int, kind: OutcomeKind, error_kind: ErrorKind) -> None:
    assert classify(status, ErrorKind.NONE) == (kind, error_kind)
    assert classify(status, ErrorKind.TIMEOUT) == (kind, error_kind)


@pytest.mark.parametrize("error_kind", [ErrorKind.BAD_REQUEST_HEADER, ErrorKind.BAD_URL])
def test_what_no_retry_can_help_is_permanent(error_kind: ErrorKind) -> None:
    assert classify(0, error_kind) == (OutcomeKind.PERMANENT, error_kind)


@pytest.mark.parametrize("error_kind", [ErrorKind.DNS, ErrorKind.TLS, ErrorKind.TIMEOUT, ErrorKind.FORBIDDEN_ADDRESS])
def test_failed_without_a_status(error_kind: ErrorKind) -> None:
    assert classify(0, error_kind) == (OutcomeKind.FAILED, error_kind)


@pytest.mark.parametrize("status", [0, 100, 101, 103])
def test_an_answer_that_ends_before_a_final_status_is_a_protocol_error(status: int) -> None:
    assert classify(status, ErrorKind.NONE) == (OutcomeKind.FAILED, ErrorKind.PROTOCOL)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("36001", MAX_RETRY_AFTER_S),
        ("9" * 5000, MAX_RETRY_AFTER_S),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thursday, 01-Jan-26 00:01:00 GMT", 60.0),
        ("Thu Jan  1 00:01:00 2026", 60.0),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("Fri, 02 Jan 2026 00:00:00 GMT", MAX_RETRY_AFTER_S),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Thu, 99 Jan 2026 00:01:00 GMT", None),
    ],
)
def test_retry_after_takes_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_status_in_words() -> None:
    assert describe_status(503) == "answered 503 Service Unavailable"
    assert describe_status(799) == "answered 799"
    assert describe_status(302) == "answered 302 Found: redirects are not followed"


def test_deferral_spends_no_attempt() -> None:
    outcome = deferred(ErrorKind.IN_FLIGHT_CAP, "too much waits", 3.0)
    assert not outcome.spends_attempt
    assert outcome.retry_after_s == 3.0
