"""The webhook channel: one libcurl engine a process."""

from __future__ import annotations

from delivery.transports.base import Gate
from delivery.transports.front import Front
from delivery.transports.lanes import Limits
from delivery.transports.webhook.engine import Engine
from delivery.transports.webhook.handle import CurlOptions


class WebhookTransport(Front):
    """A Transport. `record` is called on the engine's thread, or on the caller's for what is refused at the door."""

    def __init__(self, options: CurlOptions, limits: Limits | None = None, gate: Gate | None = None) -> None:
        """`gate` is asked on the engine's thread before each request; its `may_start` must be the final one."""
        limits, gate = limits or Limits(), gate or Gate()
        super().__init__("webhook", limits, lambda tell_room: Engine(options, limits, tell_room, gate))
