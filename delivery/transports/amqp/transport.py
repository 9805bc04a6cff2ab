"""The AMQP channel's sender: connections kept by endpoint, one message at a time on each."""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field

import amqp
from amqp.exceptions import MessageNacked
from django.conf import settings

from delivery.addresses import AddressPolicy
from delivery.dialing import DialError, Watch
from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.transports.amqp.link import Link, UnroutableError
from delivery.transports.amqp.request import AmqpMessage
from delivery.transports.base import Gate, Message
from delivery.transports.front import Front
from delivery.transports.pooled import pooled
from subscriptions.channels.amqp import check_broker_url, check_exchange

IDLE_S = 50.0  # as webhooks' connections
MAX_WORDS_CHARS = 200
MAX_ROUTING_KEY_BYTES = 255  # AMQP 0-9-1: a short string

# What a broker says when it ends a channel or a connection: AMQP 0-9-1, "Constants".
CODES = {
    403: "the broker refused the login, or does not let it write to the exchange",
    404: "the broker has no such exchange",
    406: "the exchange does not take such messages",
    530: "the broker does not let this login use the virtual host",
    320: "the broker closed the connection",
}


def transport(gate: Gate) -> Front:
    """A Transport."""
    return pooled("amqp", make_sender, gate)


def make_sender() -> AmqpSender:
    return AmqpSender(AddressPolicy(settings.WEBHOOK_ALLOWED_CIDRS), settings.WEBHOOK_CA_BUNDLE)


@dataclass(slots=True)
class _Kept:
    """The idle links of one endpoint, to `url`; the one used last is taken first, so that the others grow old."""

    url: str
    links: deque[tuple[float, Link]] = field(default_factory=deque)  # (idle since, link)


class AmqpSender:
    """A pool's Sender."""

    def __init__(self, policy: AddressPolicy, ca_file: str = "") -> None:
        self._policy = policy
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._kept: dict[int, _Kept] = {}
        self._watch = Watch()
        self._closed = False

    def send_one(self, message: Message) -> Outcome:
        assert isinstance(message, AmqpMessage)
        url = message.sink.credentials.get("url", "") if message.sink else ""
        refusal = check_broker_url(url) or check_exchange(message.exchange) or _too_long(message.routing_key)
        if refusal:
            return Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.BAD_URL, error=refusal)
        ends_at = time.monotonic() + message.timeout_s
        link = self._take(message.endpoint_id, url)
        if link is not None:
            outcome = self._attempt(link, message, url, ends_at)
            if outcome.error_kind is not ErrorKind.RESET:
                return outcome
            # A kept connection that turned out closed: brokers and firewalls drop idle ones when they like.
        return self._on_new_link(message, url, ends_at)

    def _on_new_link(self, message: AmqpMessage, url: str, ends_at: float) -> Outcome:
        link = Link(url, self._policy, self._ca_file, ends_at)
        try:
            with self._watch.until(ends_at, lambda: link.sock):
                link.open()
        except Exception as error:  # judged in `failure`; what no broker or network causes goes on
            link.close()
            return failure(error, message, is_connected=False, is_late=time.monotonic() >= ends_at)
        return self._attempt(link, message, url, ends_at)

    def _attempt(self, link: Link, message: AmqpMessage, url: str, ends_at: float) -> Outcome:
        """On any error but a returned message the link is closed: its state is unknown."""
        try:
            with self._watch.until(ends_at, lambda: link.sock):
                link.publish(message, ends_at)
        except UnroutableError:
            self._give_back(message.endpoint_id, url, link)
            words = "the broker returned the message: no queue is bound for its routing key"
            return Outcome(OutcomeKind.FAILED, error_kind=ErrorKind.BROKER, error=words)
        except Exception as error:  # judged in `failure`; what no broker or network causes goes on
            link.close()
            return failure(error, message, is_connected=True, is_late=time.monotonic() >= ends_at)
        self._give_back(message.endpoint_id, url, link)
        return Outcome(OutcomeKind.DELIVERED)

    def _take(self, endpoint_id: int, url: str) -> Link | None:
        with self._lock:
            kept = self._kept.get(endpoint_id)
            if kept is None or kept.url != url or not kept.links:
                return None
            return kept.links.pop()[1]

    def _give_back(self, endpoint_id: int, url: str, link: Link) -> None:
        """Links to a URL that the endpoint no longer has are closed by the next upkeep."""
        with self._lock:
            kept = self._kept.setdefault(endpoint_id, _Kept(url))
            stale = kept if kept.url != url else None
            if stale is not None:
                kept = self._kept[endpoint_id] = _Kept(url)
            is_kept = not self._closed
            if is_kept:
                kept.links.append((time.monotonic(), link))
        for each in [each for _, each in stale.links] if stale else []:
            each.close()
        if not is_kept:
            link.close()

    def tidy(self, now: float) -> None:
        self._watch.enforce(now)
        for link in self._aged(now - IDLE_S):
            link.close()

    def _aged(self, before: float) -> list[Link]:
        """Takes out the links that are idle since before then."""
        aged = []
        with self._lock:
            for kept in self._kept.values():
                while kept.links and kept.links[0][0] <= before:
                    aged.append(kept.links.popleft()[1])
            self._kept = {key: kept for key, kept in self._kept.items() if kept.links}
        return aged

    def close(self) -> None:
        with self._lock:
            self._closed = True
        for link in self._aged(float("inf")):
            link.close()


def _too_long(routing_key: str) -> str:
    if len(routing_key.encode()) <= MAX_ROUTING_KEY_BYTES:
        return ""
    return f"the routing key is longer than {MAX_ROUTING_KEY_BYTES} bytes"


def failure(error: Exception, message: Message, *, is_connected: bool, is_late: bool) -> Outcome:
    """What the broker's admin can mend is tried again. Raises `error` when it is none that a broker or a network causes."""
    kind, words = _told(error, message.timeout_s, is_connected, is_late)
    return Outcome(OutcomeKind.FAILED, error_kind=kind, error=words)


def _told(error: Exception, timeout_s: float, is_connected: bool, is_late: bool) -> tuple[ErrorKind, str]:
    if isinstance(error, DialError):
        return error.kind, error.words
    if isinstance(error, TimeoutError) or is_late:
        if is_connected:
            return ErrorKind.TIMEOUT, f"the broker did not confirm within {timeout_s:g} s"
        return ErrorKind.CONNECT_TIMEOUT, f"no session with the broker within {timeout_s:g} s"
    if isinstance(error, MessageNacked):
        return ErrorKind.BROKER, "the broker could not take the message (nack)"
    if isinstance(error, ssl.SSLError):
        return ErrorKind.TLS, "no trusted TLS connection"
    if isinstance(error, amqp.AMQPError) and error.reply_code:
        return ErrorKind.BROKER, CODES.get(error.reply_code, f"the broker refused: {_plain(error)}")
    if isinstance(error, OSError | amqp.AMQPError):
        return ErrorKind.RESET, "the broker closed the connection without an answer"
    raise error


def _plain(error: amqp.AMQPError) -> str:
    return f"{error.reply_code} {error.reply_text}"[:MAX_WORDS_CHARS]
