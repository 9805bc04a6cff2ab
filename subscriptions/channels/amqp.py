"""The AMQP channel (0-9-1, RabbitMQ): an exchange and a routing key of a broker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from subscriptions.channels.base import ChannelSpec, Field
from subscriptions.models import Channel

# AMQP 0-9-1 §4.2.5.3: names and routing keys are short strings, at most 255 bytes.
MAX_SHORT_STRING_BYTES = 255
PLACEHOLDERS = ("type", "subject", "tenant")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def check_broker_url(value: str) -> str | None:
    """What is wrong with amqp(s)://user:password@host:port/vhost. Never repeats the value: it holds a password."""
    if not (value.isascii() and value.isprintable()) or " " in value:
        return "the URL holds a space, a control character or a letter outside ASCII"
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises for what is not a port
    except ValueError:
        return "the URL cannot be read"
    if parts.scheme not in ("amqp", "amqps"):
        return "the URL must begin with amqps:// or amqp://"
    if not parts.hostname:
        return "the URL has no host"
    if parts.query or parts.fragment:
        return "the URL ends with the virtual host; options are not taken"
    if parts.path.count("/") > 1:
        return "the virtual host is one part; write / in its name as %2F"
    return None


def check_exchange(value: str) -> str | None:
    return None if _fits(value) else f"an exchange's name is at most {MAX_SHORT_STRING_BYTES} printable bytes"


def check_routing_key(value: str) -> str | None:
    if not _fits(value):
        return f"a routing key is at most {MAX_SHORT_STRING_BYTES} printable bytes"
    unknown = [name for name in _PLACEHOLDER.findall(value) if name not in PLACEHOLDERS]
    if unknown or re.search(r"[{}]", _PLACEHOLDER.sub("", value)):
        return f"a routing key may hold {', '.join('{' + name + '}' for name in PLACEHOLDERS)} and no other braces"
    return None


def fill_routing_key(pattern: str, values: Mapping[str, str]) -> str:
    """`pattern` passed the check; a value that holds braces stays as it is."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], pattern)


def _fits(value: str) -> bool:
    return len(value.encode()) <= MAX_SHORT_STRING_BYTES and value.isprintable()


def _destination(config: Mapping[str, object]) -> str:
    return f"amqp exchange {config.get('exchange') or '(default)'}, key {config.get('routing_key') or '(none)'}"


SPEC = ChannelSpec(
    channel=Channel.AMQP,
    content_modes=True,
    fields=(
        Field(
            "url",
            "Broker URL",
            "secret",
            help="amqps://user:password@host:5671/vhost; without a vhost: /.",
            check=check_broker_url,
        ),
        Field("exchange", "Exchange", required=False, help="Empty: the default exchange.", check=check_exchange),
        Field(
            "routing_key",
            "Routing key",
            required=False,
            help="May hold {type}, {subject} and {tenant}. For the default exchange it is the queue's name.",
            check=check_routing_key,
        ),
        Field(
            "persistent",
            "Persistent",
            "boolean",
            required=False,
            default="true",
            help="The broker keeps the message over its restart, when the queue is durable.",
        ),
    ),
    destination=_destination,
)
