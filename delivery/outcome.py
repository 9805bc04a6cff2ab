"""What came of one try to deliver: pure values and the rules that turn an answer into a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus

from subscriptions.retry_policy import GONE_STATUS, THROTTLING_STATUSES

MAX_RESPONSE_BODY_BYTES = 64 * 1024
MAX_RESPONSE_HEADERS = 100
MAX_RESPONSE_HEADERS_BYTES = 16 * 1024
MAX_RETRY_AFTER_S = 10 * 3600.0


class OutcomeKind(StrEnum):
    DELIVERED = "delivered"  # the receiver took it (2xx)
    FAILED = "failed"  # an attempt was spent; the retry policy decides what follows
    PERMANENT = "permanent"  # no retry can help: the endpoint's own settings are wrong
    GONE = "gone"  # 410: the receiver wants nothing more, disable the endpoint
    THROTTLED = "throttled"  # 429/502/503/504: an attempt was spent, and the whole endpoint should wait
    DEFERRED = "deferred"  # nothing was sent and no attempt is spent; try again after `retry_after_s`


class ErrorKind(StrEnum):
    NONE = ""
    DNS = "dns"
    CONNECT_REFUSED = "connect_refused"
    UNREACHABLE = "unreachable"  # no route, network down, or any other failed connect
    CONNECT_TIMEOUT = "connect_timeout"  # the deadline passed before the request could be sent (DNS, TCP, TLS)
    TIMEOUT = "timeout"  # the request went out; no answer within the deadline
    TLS = "tls"
    RESET = "reset"  # the connection ended before an answer's status line
    FORBIDDEN_ADDRESS = "forbidden_address"  # the address policy refused every address of the host
    HTTP_STATUS = "http_status"
    REDIRECT = "redirect"
    PROTOCOL = "protocol"  # what came back is not HTTP
    BAD_URL = "bad_url"
    BAD_REQUEST_HEADER = "bad_request_header"
    IN_FLIGHT_CAP = "in_flight_cap"  # deferred: too much waits for this endpoint in this process
    SHUTDOWN = "shutdown"  # deferred: not started; failed: cut off because the process had to end
    ENDPOINT_PAUSED = "endpoint_paused"  # deferred: an admin holds it
    ENDPOINT_DISABLED = "endpoint_disabled"  # permanent: by its own 410 or by an admin
    ENDPOINT_DELETED = "endpoint_deleted"
    EVENT_EXPIRED = "event_expired"  # permanent: the event's days of retention ended before the delivery did
    BREAKER_OPEN = "breaker_open"  # deferred: the endpoint failed too often, or somebody opened its breaker
    RETRY_AFTER = "retry_after"  # deferred: the receiver asked for a pause
    RATE_LIMIT = "rate_limit"  # deferred: the endpoint's or the tenant's limit is used up
    ORDERING = "ordering"  # held: the delivery before it of the same partition key has not ended
    BACKLOG = "backlog"  # held: its endpoint's waiting deliveries are let go a few at a time
    UNSIGNED = "unsigned"  # deferred: the signing secrets cannot be read, and unsigned it must not go
    BROKER = "broker"  # a message broker, or PagerDuty, refused it
    TEMPLATE = "template"  # permanent: the template cannot be filled from this event
    INTERNAL = "internal"  # a fault of ours


_NEVER_TRIED = frozenset({ErrorKind.ENDPOINT_DISABLED, ErrorKind.ENDPOINT_DELETED, ErrorKind.EVENT_EXPIRED})
# The request did not leave us.
_NOT_SENT = frozenset(
    {
        ErrorKind.DNS,
        ErrorKind.CONNECT_REFUSED,
        ErrorKind.UNREACHABLE,
        ErrorKind.CONNECT_TIMEOUT,
        ErrorKind.TLS,
        ErrorKind.FORBIDDEN_ADDRESS,
        ErrorKind.BAD_URL,
        ErrorKind.BAD_REQUEST_HEADER,
        ErrorKind.TEMPLATE,
        ErrorKind.INTERNAL,
    }
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one try. `error` is for people, and holds no header value, payload or secret."""

    kind: OutcomeKind
    status_code: int | None = None
    error_kind: ErrorKind = ErrorKind.NONE
    error: str = ""
    started_at: float = 0.0  # epoch seconds; 0.0 when nothing was sent
    duration_ms: float = 0.0
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: bytes = b""
    remote_address: str = ""  # "192.0.2.1:443", "[2001:db8::1]:443" or ""
    retry_after_s: float | None = None

    @property
    def spends_attempt(self) -> bool:
        """Whether something was tried. What died because its endpoint or event is no more was not."""
        return self.kind is not OutcomeKind.DEFERRED and self.error_kind not in _NEVER_TRIED

    @property
    def may_have_arrived(self) -> bool:
        """Whether the receiver may have had it: something was sent, and to a peer that was there."""
        return self.spends_attempt and self.started_at > 0 and self.error_kind not in _NOT_SENT


def classify(status_code: int, error_kind: ErrorKind) -> tuple[OutcomeKind, ErrorKind]:
    """The verdict for a final status code (0: none came) and the client's own error.

    Once a status line is there it decides, whatever happened to the rest of the answer: the receiver has spoken.
    """
    if status_code >= 200:
        return _classify_status(status_code)
    if error_kind in (ErrorKind.BAD_REQUEST_HEADER, ErrorKind.BAD_URL):
        return OutcomeKind.PERMANENT, error_kind
    return OutcomeKind.FAILED, error_kind if error_kind is not ErrorKind.NONE else ErrorKind.PROTOCOL


def _classify_status(status_code: int) -> tuple[OutcomeKind, ErrorKind]:
    if status_code < 300:
        return OutcomeKind.DELIVERED, ErrorKind.NONE
    if status_code < 400:
        return OutcomeKind.FAILED, ErrorKind.REDIRECT
    if status_code == GONE_STATUS:
        return OutcomeKind.GONE, ErrorKind.HTTP_STATUS
    if status_code in THROTTLING_STATUSES:
        return OutcomeKind.THROTTLED, ErrorKind.HTTP_STATUS
    return OutcomeKind.FAILED, ErrorKind.HTTP_STATUS


def describe_status(status_code: int) -> str:
    """Plain words for a status that is not a success."""
    try:
        phrase = f"{status_code} {HTTPStatus(status_code).phrase}"
    except ValueError:
        phrase = str(status_code)
    if 300 <= status_code < 400:
        return f"answered {phrase}: redirects are not followed"
    return f"answered {phrase}"


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds to wait from `now` (epoch), from either form of RFC 9110 §10.2.3; None when it is neither.

    A date in the past is 0.0; nothing exceeds MAX_RETRY_AFTER_S.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        # A number longer than this is past the cap anyway; int() of thousands of digits is not free.
        return min(float(text[:12]), MAX_RETRY_AFTER_S)
    moment = _parse_http_date(text)
    if moment is None:
        return None
    return min(max(moment.timestamp() - now, 0.0), MAX_RETRY_AFTER_S)


def _parse_http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def deferred(error_kind: ErrorKind, error: str, retry_after_s: float) -> Outcome:
    """Nothing was sent; `retry_after_s` is how long to hold the delivery before it is tried again."""
    return Outcome(OutcomeKind.DEFERRED, error_kind=error_kind, error=error, retry_after_s=retry_after_s)
