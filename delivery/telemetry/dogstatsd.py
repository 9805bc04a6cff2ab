"""DogStatsD: the catalog's dotted names to a Datadog agent, by the official client.

Format: https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/. UDP promises nothing: what an agent did not take
without our hearing of it is gone, and what we hear of is sent again with the next increments.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from datadog.dogstatsd.base import DogStatsd
from django.conf import settings
from django.db import transaction

from delivery.telemetry import gauges
from delivery.telemetry.by_endpoint import names, percentiles, states
from delivery.telemetry.catalog import Type
from delivery.telemetry.deployment import alerts, processes, recent, standing
from delivery.telemetry.increments import Ledger
from delivery.telemetry.reading import Histogram, Reading

logger = logging.getLogger(__name__)

# A packet takes 1,432 bytes, the client's measure for Ethernet; of long names so many lines go in. The client sends what
# is over by itself, but says of the last packet only whether it could.
LINES_A_PACKET = 6
SEND_TIMEOUT_S = 0.5


class AgentAway(Exception):
    """A packet could not be sent."""


class Sender:
    """One for the life of a process. Each `send` is everything that changed and every gauge."""

    def __init__(self) -> None:
        self._ledger = Ledger()
        # Its own telemetry would be more series than ours. Given a host, it heeds no other address of the environment.
        self._client = DogStatsd(
            host=settings.DD_AGENT_HOST,
            port=settings.DD_DOGSTATSD_PORT,
            disable_telemetry=True,
            socket_timeout=SEND_TIMEOUT_S,
            track_instance=False,
        )

    def send(self, now: datetime) -> None:
        """Raises what the database raises. Without the agent the increments wait for the next time."""
        known = names()
        try:
            # First: on this machine their packets tell whether anybody listens, and of them none need come again.
            self._send([*standing(gauges.read(now)), *recent(now), *alerts(), *processes(now)])
            self._send([*states(known), *percentiles(now, known)])
            with transaction.atomic():
                self._send(each for each in self._ledger.take(now).readings(known) if each.value)
        except AgentAway:
            logger.warning("dogstatsd.agent_away", extra={"host": settings.DD_AGENT_HOST})

    def close(self) -> None:
        self._client.close_socket()

    def _send(self, readings: Iterable[Reading]) -> None:
        dotted = (each for each in readings if each.metric.dotted)
        for group in _groups(dotted, LINES_A_PACKET):
            self._client.open_buffer()
            try:
                for each in group:
                    self._put(each)
                sent = self._client.flush()
            finally:
                self._client.close_buffer()
            if not sent:
                raise AgentAway

    def _put(self, each: Reading) -> None:
        assert not isinstance(each.value, Histogram)
        tags = [f"{name}:{value}" for name, value in zip(each.metric.labels, each.labels, strict=True)]
        put = self._client.increment if each.metric.type is Type.COUNTER else self._client.gauge
        put(each.metric.dotted, each.value, tags=tags)


def _groups(readings: Iterable[Reading], most: int) -> Iterator[list[Reading]]:
    each = iter(readings)
    while group := list(islice(each, most)):
        yield group
