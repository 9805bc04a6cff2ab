"""The one door for outbound HTTP besides webhooks: requests, without what a server should not be able to make us do.

No redirects, no proxies or netrc of the environment, no cookies, the address policy at the socket, a deadline for the whole
exchange, and a cap on the answer. A connection is used once: these calls are few, and a kept one may be stale.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import certifi
import requests  # noqa: TID251 - this is the door
from requests.adapters import HTTPAdapter  # noqa: TID251
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from delivery.addresses import AddressPolicy
from delivery.dialing import DialError, Watch, dial
from delivery.outcome import MAX_RESPONSE_BODY_BYTES, ErrorKind

USER_AGENT = "event-center/1.0"
CHUNK_BYTES = 16 * 1024


class OutboundError(Exception):
    """No answer. `words` are for people and hold nothing of the request."""

    def __init__(self, kind: ErrorKind, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is cut at MAX_RESPONSE_BODY_BYTES; a redirect is an answer like any other."""

    status_code: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    remote_address: str  # "192.0.2.1:443"


class _Call(threading.local):
    """The call that this thread makes: urllib3 makes connections without asking us for more than a host and a port."""

    policy: AddressPolicy
    ends_at: float
    connection: HTTPConnection | None = None
    remote_address: str = ""


_call = _Call()


def _dialled(connection: HTTPConnection) -> socket.socket:
    # The name as it stands in the URL; _dns_host may end with a dot.
    opened = dial(connection._dns_host, connection.port or connection.default_port, _call.policy, _call.ends_at)
    peer = opened.getpeername()
    _call.connection = connection
    _call.remote_address = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
    return opened


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _dialled(self)


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _dialled(self)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        self.poolmanager = PoolManager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


class Outbound:
    """Safe for several threads. Somebody calls `enforce` every second or so: see Watch."""

    def __init__(self, policy: AddressPolicy, ca_file: str = "") -> None:
        """`ca_file`: a PEM bundle; "" takes certifi's."""
        self._policy = policy
        self._watch = Watch()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_file or certifi.where()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(max_retries=0))

    def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Raises OutboundError when no answer came within `timeout_s`, name look-up and the answer's body included."""
        _call.policy, _call.ends_at = self._policy, time.monotonic() + timeout_s
        _call.connection, _call.remote_address = None, ""
        connection_of = _call.__dict__  # of this thread, for the watch's
        try:
            with self._watch.until(_call.ends_at, lambda: getattr(connection_of.get("connection"), "sock", None)):
                return self._exchange(url, body, headers, timeout_s)
        except DialError as error:
            raise OutboundError(error.kind, error.words) from None
        except (requests.RequestException, OSError) as error:
            raise self._failure(error, timeout_s) from None

    def _exchange(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        sent = {"user-agent": USER_AGENT, "connection": "close", **headers}
        with self._session.post(
            url, data=body, headers=sent, timeout=timeout_s, allow_redirects=False, stream=True
        ) as response:
            taken = _capped(response)
            return Answer(response.status_code, tuple(response.headers.items()), taken, _call.remote_address)

    def _failure(self, error: Exception, timeout_s: float) -> OutboundError:
        if isinstance(error, requests.Timeout) or time.monotonic() >= _call.ends_at:
            return OutboundError(ErrorKind.TIMEOUT, f"no answer within {timeout_s:g} s")
        if isinstance(error, requests.exceptions.SSLError):
            return OutboundError(ErrorKind.TLS, "no trusted TLS connection")
        if isinstance(error, requests.ConnectionError | OSError):
            return OutboundError(ErrorKind.RESET, "the connection was closed without an answer")
        return OutboundError(ErrorKind.PROTOCOL, "the answer is not HTTP")

    def enforce(self, now: float) -> None:
        """Cut off what is past its deadline; `now` is monotonic."""
        self._watch.enforce(now)

    def close(self) -> None:
        self._session.close()


def _capped(response: requests.Response) -> bytes:
    """The body's beginning. The status has been given: a body that ends badly changes nothing."""
    taken = b""
    with suppress(HTTPError, OSError):
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            taken += chunk
            if len(taken) >= MAX_RESPONSE_BODY_BYTES:
                break
    return taken[:MAX_RESPONSE_BODY_BYTES]
