"""One connection to a broker, through kombu, on an address that was checked."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp
import certifi
from amqp.spec import Connection as Goodbye
from amqp.transport import SSLTransport, TCPTransport
from kombu import Connection, Producer
from kombu.transport.pyamqp import Connection as PyamqpConnection
from kombu.transport.pyamqp import Transport as PyamqpTransport

from delivery.addresses import AddressPolicy
from delivery.dialing import dial
from delivery.transports.amqp.request import AmqpMessage

PORTS = {"amqp": 5672, "amqps": 5671}
PERSISTENT, TRANSIENT = 2, 1  # AMQP 0-9-1, basic.delivery-mode
APP_ID = "event-center"
# A close is said politely, but nobody waits for the answer.
GOODBYE_S = 0.2
MAX_TYPE_CHARS = 60  # the property is a short string, 255 bytes, and a character at most 4


class UnroutableError(Exception):
    """The broker returned the message: no queue is bound for it."""


class _Dialled(PyamqpConnection):
    """Connects to an address that the link's policy allows; kombu hands the link through."""

    def __init__(self, *args: Any, link: Link, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._link = link
        link.raw = self

    def Transport(self, host: str, connect_timeout: float | None, ssl: Any = False, *args: Any, **kwargs: Any) -> Any:
        link = self._link

        class Checked(SSLTransport if ssl else TCPTransport):  # type: ignore[misc]
            def _connect(self, host: str, port: int, timeout: float) -> None:
                link.wire = self
                self.sock = dial(host, port, link.policy, link.ends_at)

        return Checked(host, connect_timeout=connect_timeout, ssl=ssl)


class _Checked(PyamqpTransport):
    Connection = _Dialled


class Link:
    """A connection with one channel in confirm mode. Not safe to share between threads, but for `sock`."""

    def __init__(self, url: str, policy: AddressPolicy, ca_file: str, ends_at: float) -> None:
        """`url` passed check_broker_url; `ends_at` (monotonic) is `open`'s deadline."""
        self.policy = policy
        self.ends_at = ends_at
        self.raw: amqp.Connection | None = None
        self.wire: TCPTransport | SSLTransport | None = None  # amqp's own accessor would connect once more
        self._returned = False
        self._client = self._described(url, ca_file)

    def _described(self, url: str, ca_file: str) -> Connection:
        parts = urlsplit(url)
        host = parts.hostname or ""
        tls = {"server_hostname": host, "ca_certs": ca_file or certifi.where()} if parts.scheme == "amqps" else False
        return Connection(
            hostname=host,
            port=parts.port or PORTS[parts.scheme],
            userid=unquote(parts.username or "guest"),
            password=unquote(parts.password or "guest"),
            virtual_host=unquote(parts.path.removeprefix("/")) or "/",
            transport=_Checked,
            connect_timeout=max(self.ends_at - time.monotonic(), 0.1),
            ssl=tls,
            transport_options={"confirm_publish": True, "link": self},
        )

    def open(self) -> None:
        """Connects, signs in, opens the channel. Raises DialError, OSError and amqp's errors; kombu's own retries would go
        beyond the deadline, so its transport is asked directly."""
        transport = self._client.transport
        channel = transport.create_channel(transport.establish_connection())
        self._producer = Producer(channel, auto_declare=False, on_return=self._on_return)

    @property
    def sock(self) -> socket.socket | None:
        """While it is being opened, too; None without one."""
        return self.wire.sock if self.wire is not None else None

    def publish(self, message: AmqpMessage, ends_at: float) -> None:
        """Returns once the broker has taken it. Raises UnroutableError, OSError and amqp's errors."""
        self._returned = False
        left_s = max(ends_at - time.monotonic(), 0.001)
        self._producer.publish(
            message.body,
            exchange=message.exchange,
            routing_key=message.routing_key,
            mandatory=True,
            delivery_mode=PERSISTENT if message.persistent else TRANSIENT,
            content_type=message.content_type,
            content_encoding="binary",
            headers=dict(message.headers),
            message_id=str(message.delivery_id),
            type=message.event_type[:MAX_TYPE_CHARS],
            app_id=APP_ID,
            timestamp=int(time.time()),
            timeout=left_s,
            confirm_timeout=left_s,
            retry=False,
        )
        if self._returned:
            raise UnroutableError

    def _on_return(self, error: Exception, exchange: object, routing_key: str, message: object) -> None:
        self._returned = True  # the confirm follows: a returned message is confirmed as well

    def close(self) -> None:
        if self.raw is None:
            return
        with suppress(OSError, amqp.AMQPError):
            sock = self.sock
            if sock is not None:
                sock.settimeout(GOODBYE_S)
                self.raw.send_method(Goodbye.Close, "BsBB", (200, "", 0, 0))
        self.raw.collect()
