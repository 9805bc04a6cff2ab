"""One reusable libcurl easy handle: a request in, an Outcome out."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import certifi
import pycurl  # noqa: TID251 - this is the transport

from delivery.addresses import AddressPolicy
from delivery.outcome import (
    MAX_RESPONSE_BODY_BYTES,
    MAX_RESPONSE_HEADERS,
    MAX_RESPONSE_HEADERS_BYTES,
    ErrorKind,
    Outcome,
    OutcomeKind,
    classify,
    describe_status,
    parse_retry_after,
)
from delivery.transports.base import Message
from delivery.transports.lanes import Lane, Parcel

USER_AGENT = "event-center/1.0"
DEFAULT_CONNECT_TIMEOUT_S = 10.0
DNS_CACHE_S = 30
# Most servers drop an idle connection after 60 s or more; reusing a younger one seldom meets that moment.
IDLE_CONNECTION_S = 50
MAX_DETAIL_CHARS = 200
SOCKET_BAD: int = pycurl.SOCKET_BAD


@dataclass(frozen=True, slots=True)
class CurlOptions:
    """What is the same for every request of a process."""

    policy: AddressPolicy
    ca_file: str = ""  # PEM bundle; "" takes certifi's
    user_agent: str = USER_AGENT
    connect_timeout_s: float = DEFAULT_CONNECT_TIMEOUT_S


class LentSocket(socket.socket):
    """pycurl takes a duplicate of the descriptor and drops the object, which must close without a warning."""

    def __del__(self) -> None:
        self.close()


class Handle:
    """Not safe to share between threads. `load`, let libcurl run `curl`, `outcome`, then `load` again."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_connect_timeout_s",
        "_header_lines",
        "_is_fresh",
        "_policy",
        "_refusals",
        "_timeout_s",
        "_url",
        "curl",
        "lane",
        "parcel",
        "started_at",
    )

    parcel: Parcel
    lane: Lane

    def __init__(self, options: CurlOptions) -> None:
        self._policy = options.policy
        self._connect_timeout_s = options.connect_timeout_s
        self._url = ""
        self._timeout_s = 0.0
        self._header_lines: list[bytes] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._refusals: list[str] = []
        self._is_fresh = False
        self.started_at = 0.0
        self.curl = pycurl.Curl()
        self._configure(options)

    def _configure(self, options: CurlOptions) -> None:
        setopt = self.curl.setopt
        setopt(pycurl.POST, 1)
        setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        setopt(pycurl.FOLLOWLOCATION, 0)
        # One connection for each request in flight: a stall or reset costs one message, not all of a connection's.
        setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        setopt(pycurl.NOSIGNAL, 1)
        setopt(pycurl.PROXY, "")  # whatever http_proxy says: a proxy would connect where the policy cannot see
        setopt(pycurl.NOPROXY, "*")
        setopt(pycurl.TCP_NODELAY, 1)
        setopt(pycurl.SSL_VERIFYPEER, 1)
        setopt(pycurl.SSL_VERIFYHOST, 2)
        setopt(pycurl.CAINFO, options.ca_file or certifi.where())
        setopt(pycurl.USERAGENT, options.user_agent)
        setopt(pycurl.DNS_CACHE_TIMEOUT, DNS_CACHE_S)
        setopt(pycurl.MAXAGE_CONN, IDLE_CONNECTION_S)
        setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        setopt(pycurl.HEADERFUNCTION, self._header_lines.append)
        setopt(pycurl.WRITEFUNCTION, self._take_body)

    def load(self, message: Message, header_lines: list[str]) -> None:
        """Make the handle ready to send `message`; sets only what changed."""
        self.started_at = time.time()
        self._clear()
        self._set_fresh(False)
        setopt = self.curl.setopt
        if message.url != self._url:
            setopt(pycurl.URL, message.url)
            self._url = message.url
        if message.timeout_s != self._timeout_s:
            setopt(pycurl.TIMEOUT_MS, max(int(message.timeout_s * 1000), 1))
            setopt(pycurl.CONNECTTIMEOUT_MS, max(int(min(message.timeout_s, self._connect_timeout_s) * 1000), 1))
            self._timeout_s = message.timeout_s
        header_lines.append("Expect:")  # no 100-continue
        setopt(pycurl.HTTPHEADER, header_lines)
        setopt(pycurl.POSTFIELDS, message.body)

    def met_a_stale_connection(self, curl_error: int) -> bool:
        """True when a kept connection turned out closed and not a byte came back: the receiver most likely saw nothing.

        It is common, as servers drop idle connections when they like, and waiting for a retry would cost seconds.
        """
        if curl_error not in STALE_ERRORS or self._header_lines or self._is_fresh:
            return False
        return bool(self.curl.getinfo(pycurl.NUM_CONNECTS) == 0)

    def renew(self) -> None:
        """Make the same request again, on a new connection and within what is left of its deadline."""
        left_s = self.started_at + self._timeout_s - time.time()
        self._set_fresh(True)
        self.curl.setopt(pycurl.TIMEOUT_MS, max(int(left_s * 1000), 1))
        self._timeout_s = 0.0  # so that the next message sets its own

    def _set_fresh(self, fresh: bool) -> None:
        if fresh is not self._is_fresh:
            self.curl.setopt(pycurl.FRESH_CONNECT, int(fresh))
            self._is_fresh = fresh

    def _clear(self) -> None:
        self._header_lines.clear()
        if self._body:
            self._body.clear()
            self._body_bytes = 0
        if self._refusals:
            self._refusals.clear()

    def _open_socket(self, purpose: int, address: tuple[int, int, int, tuple[str, int]]) -> socket.socket | int:
        """libcurl asks for each socket here, with the address it is about to connect to: nothing can rebind after this."""
        family, kind, protocol, target = address
        if family not in (socket.AF_INET, socket.AF_INET6):
            self._refusals.append("not an internet address")
            return SOCKET_BAD
        reason = self._policy.refusal(target[0])
        if reason:
            self._refusals.append(f"{target[0]} is {reason}")
            return SOCKET_BAD
        return LentSocket(family, kind, protocol)

    def _take_body(self, chunk: bytes) -> int:
        """Returning less than came makes libcurl give the transfer up."""
        room = MAX_RESPONSE_BODY_BYTES - self._body_bytes
        if room <= 0:
            return 0
        taken = chunk if len(chunk) <= room else chunk[:room]
        self._body.append(taken)
        self._body_bytes += len(taken)
        return len(taken)

    def outcome(self, curl_error: int, detail: str) -> Outcome:
        """What came of the request; `curl_error` 0 when libcurl has no complaint, else its code and words."""
        getinfo = self.curl.getinfo
        status_code = getinfo(pycurl.RESPONSE_CODE)
        error_kind = self._error_kind(curl_error) if curl_error else ErrorKind.NONE
        kind, error_kind = classify(status_code, error_kind)
        error, retry_after_s = "", None
        headers = read_headers(self._header_lines)
        if kind is not OutcomeKind.DELIVERED:
            error = describe_status(status_code) if status_code >= 200 else self._words(error_kind, detail)
        elif curl_error:
            error = "took the event, but its answer was cut off"
        if kind is OutcomeKind.THROTTLED:
            retry_after_s = find_retry_after(headers, time.time())
        return Outcome(
            kind,
            status_code or None,
            error_kind,
            error,
            self.started_at,
            getinfo(pycurl.TOTAL_TIME) * 1000,
            headers,
            b"".join(self._body) if self._body else b"",
            format_address(getinfo(pycurl.PRIMARY_IP), getinfo(pycurl.PRIMARY_PORT)),
            retry_after_s,
        )

    def _error_kind(self, curl_error: int) -> ErrorKind:
        if curl_error == pycurl.E_COULDNT_CONNECT:
            if self._refusals:
                return ErrorKind.FORBIDDEN_ADDRESS
            refused = self.curl.getinfo(pycurl.OS_ERRNO) == errno.ECONNREFUSED
            return ErrorKind.CONNECT_REFUSED if refused else ErrorKind.UNREACHABLE
        if curl_error == pycurl.E_OPERATION_TIMEDOUT:
            asked = self.curl.getinfo(pycurl.REQUEST_SIZE) > 0
            return ErrorKind.TIMEOUT if asked else ErrorKind.CONNECT_TIMEOUT
        return ERROR_KINDS.get(curl_error, ErrorKind.INTERNAL)

    def _words(self, error_kind: ErrorKind, detail: str) -> str:
        if error_kind is ErrorKind.FORBIDDEN_ADDRESS:
            return f"the address is not allowed: {'; '.join(self._refusals)}"[:MAX_DETAIL_CHARS]
        words = ERROR_WORDS.get(error_kind, "")
        if error_kind in (ErrorKind.TIMEOUT, ErrorKind.CONNECT_TIMEOUT):
            return words.format(self._limit_s(error_kind))
        return f"{words}: {detail[:MAX_DETAIL_CHARS]}" if error_kind in DETAILED else words

    def _limit_s(self, error_kind: ErrorKind) -> float:
        timeout_s = self.parcel.message.timeout_s
        return timeout_s if error_kind is ErrorKind.TIMEOUT else min(timeout_s, self._connect_timeout_s)


CURLE_WEIRD_SERVER_REPLY = 8  # pycurl has no name for it

STALE_ERRORS = frozenset({pycurl.E_GOT_NOTHING, pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR})

ERROR_KINDS = {
    pycurl.E_COULDNT_RESOLVE_HOST: ErrorKind.DNS,
    pycurl.E_UNSUPPORTED_PROTOCOL: ErrorKind.PROTOCOL,  # also an answer without a status line (HTTP/0.9)
    pycurl.E_URL_MALFORMAT: ErrorKind.BAD_URL,
    pycurl.E_GOT_NOTHING: ErrorKind.RESET,
    pycurl.E_SEND_ERROR: ErrorKind.RESET,
    pycurl.E_RECV_ERROR: ErrorKind.RESET,
    pycurl.E_PARTIAL_FILE: ErrorKind.RESET,
    pycurl.E_SSL_CONNECT_ERROR: ErrorKind.TLS,
    pycurl.E_PEER_FAILED_VERIFICATION: ErrorKind.TLS,
    pycurl.E_SSL_CERTPROBLEM: ErrorKind.TLS,
    pycurl.E_SSL_CIPHER: ErrorKind.TLS,
    pycurl.E_SSL_INVALIDCERTSTATUS: ErrorKind.TLS,
    pycurl.E_SSL_ISSUER_ERROR: ErrorKind.TLS,
    CURLE_WEIRD_SERVER_REPLY: ErrorKind.PROTOCOL,
    pycurl.E_BAD_CONTENT_ENCODING: ErrorKind.PROTOCOL,
    pycurl.E_WRITE_ERROR: ErrorKind.PROTOCOL,
}

ERROR_WORDS = {
    ErrorKind.DNS: "the host name could not be resolved",
    ErrorKind.CONNECT_REFUSED: "the connection was refused",
    ErrorKind.UNREACHABLE: "the host could not be reached",
    ErrorKind.CONNECT_TIMEOUT: "no connection within {:g} s",
    ErrorKind.TIMEOUT: "no answer within {:g} s",
    ErrorKind.TLS: "no trusted TLS connection",
    ErrorKind.RESET: "the connection was closed without an answer",
    ErrorKind.PROTOCOL: "the answer is not HTTP",
    ErrorKind.BAD_URL: "the URL cannot be read",
    ErrorKind.INTERNAL: "the request could not be made",
}
DETAILED = frozenset({ErrorKind.TLS, ErrorKind.PROTOCOL, ErrorKind.INTERNAL})


def read_headers(lines: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    """The last response's headers (interim 1xx ones come before it), within the caps."""
    headers: list[tuple[str, str]] = []
    size = 0
    for line in lines:
        if line.startswith(b"HTTP/"):
            headers.clear()
            size = 0
            continue
        name, colon, value = line.decode("latin-1").partition(":")
        size += len(line)
        if colon and size <= MAX_RESPONSE_HEADERS_BYTES and len(headers) < MAX_RESPONSE_HEADERS:
            headers.append((name, value.strip()))
    return tuple(headers)


def find_retry_after(headers: Sequence[tuple[str, str]], now: float) -> float | None:
    value = next((value for name, value in headers if name.lower() == "retry-after"), None)
    return None if value is None else parse_retry_after(value, now)


def format_address(ip: str, port: int) -> str:
    if not ip:
        return ""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def unsent(error_kind: ErrorKind, error: str) -> Outcome:
    """The outcome of a message that never reaches libcurl because of its own content."""
    kind, error_kind = classify(0, error_kind)
    return Outcome(kind, error_kind=error_kind, error=error, started_at=time.time())
