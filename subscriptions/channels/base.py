"""A channel's settings as data: the admin's form, the YAML file and the checks are all made from it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from subscriptions.models import Channel

Check = Callable[[str], str | None]
Kind = Literal["text", "secret", "choice", "number", "boolean"]


@dataclass(frozen=True, slots=True)
class Field:
    """One setting. `secret` ones are kept sealed and never shown. `check`: what is wrong with a value, in words."""

    name: str
    label: str
    kind: Kind = "text"
    required: bool = True
    default: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()
    check: Check | None = None


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """`takes_url`: Endpoint.url is the destination, and what goes there is signed. `content_modes`: Endpoint.content_mode is
    heeded. `fields` are Endpoint.config and, the secret ones, its credentials.

    `destination` tells people where deliveries go, from config alone; no secret in it.
    """

    channel: Channel
    fields: tuple[Field, ...] = ()
    takes_url: bool = False
    content_modes: bool = False
    destination: Callable[[Mapping[str, object]], str] = lambda _: ""
