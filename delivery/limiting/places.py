"""A cap on requests in flight to an endpoint that holds over all worker processes: places, leased in Redis.

A process may have as many requests to the endpoint in flight as it holds places; `Gate.caps` tells its transports. Places
are taken when there is something to send, renewed while it is in use, and given back when they are idle, so that another
process can have them. Those of a killed process are free when its lease ends.

A process that cannot renew its leases starts nothing more before they end (`Gate.caps_until`). When Redis loses its data,
others may take the same places once, until this process has renewed its own: KEEP_EVERY_S later, at most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast
from uuid import uuid4

from delivery.limiting.redis_script import RedisScript
from delivery.transports.base import Gate

logger = logging.getLogger(__name__)

LEASE_S = 10.0
# Before our lease ends by Redis' clock: a call's way, and what is between the look at the clock and the start.
LEASE_MARGIN_S = 2.0
KEEP_EVERY_S = 0.25
# What `want` was asked for is on its way from the runner to the lanes; if it takes longer, places are taken once more.
GRACE_S = 0.25
# No message of an endpoint came for so long: none is under way any more (Limits.longest_stay_s and the longest timeout
# are below it together), so its cap may be forgotten.
FORGET_S = 90.0
KEY_PREFIX = "eventcenter:places:"
SCRIPT = (Path(__file__).parent / "places.lua").read_text()
# Reads alone: the places of all processes whose lease has not ended. See places.lua for the hash.
COUNT_SCRIPT = """
local time, taken = redis.call('TIME'), 0
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for _, entry in ipairs(redis.call('HVALS', KEYS[1])) do
  local places, ends = string.match(entry, '^(%d+) (%d+)$')
  if ends and tonumber(ends) > now then taken = taken + tonumber(places) end
end
return taken
"""


def in_flight(redis_url: str, endpoint_id: int) -> int | None:
    """How many places of the endpoint all processes hold now: for people. None while Redis is away.

    A process has no more requests in flight than it holds places, and gives back what is idle within moments.
    """
    answer = _counter(redis_url).call([f"{KEY_PREFIX}{endpoint_id}"], [])
    return int(cast("int", answer)) if answer is not None else None


@cache
def _counter(redis_url: str) -> RedisScript:
    return RedisScript(redis_url, COUNT_SCRIPT, "places_shown")


@dataclass(slots=True)
class Holding:
    """What this process knows of an endpoint with a cap."""

    cap: int
    places: int = 0
    needed: int = 0  # when `want` was last called, at `wanted_at` (monotonic)
    wanted_at: float = float("-inf")


class Places:
    """The places that this process holds. Safe to use from several threads.

    With the first of them a thread begins that calls `keep_alive`.
    """

    def __init__(self, redis_url: str, gate: Gate) -> None:
        """Fills `gate.caps` and `gate.caps_until`; `gate.load_of` tells what is in use."""
        self._gate = gate
        self._script = RedisScript(redis_url, SCRIPT, "places")
        self._process = uuid4().hex
        self._holdings: dict[int, Holding] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._keeper: threading.Thread | None = None

    def want(self, endpoint_id: int, cap: int, count: int) -> int:
        """How many of `count` messages may be handed to the transport now: all when this process has a place, else 0.

        While Redis is away there are no new places; those from before hold for a few seconds.
        """
        now = time.monotonic()
        with self._lock:
            if self._closing.is_set():
                return 0
            holding = self._holdings.setdefault(endpoint_id, Holding(cap))
            holding.cap, holding.wanted_at = cap, now
            holding.needed = min(self._gate.load_of(endpoint_id) + count, cap)
            if holding.needed > holding.places or holding.places > cap:
                self._take({endpoint_id: min(max(holding.needed, holding.places), cap)}, now)
            self._gate.caps[endpoint_id] = holding.places
            return count if holding.places and now < self._gate.caps_until else 0

    def keep_alive(self) -> None:
        """Renew what is in use, take what is missing, give back what is idle."""
        now = time.monotonic()
        with self._lock:
            self._forget(now)
            wanted = {endpoint_id: self._most(endpoint_id, now) for endpoint_id in self._holdings}
            wanted = {pk: most for pk, most in wanted.items() if most or self._holdings[pk].places}
            if wanted:
                self._take(wanted, now)

    def close(self) -> None:
        """Give all back; call it when nothing is in flight any more."""
        self._closing.set()
        if self._keeper is not None:
            self._keeper.join()
        with self._lock:
            held = [endpoint_id for endpoint_id, holding in self._holdings.items() if holding.places]
            self._gate.caps.update(dict.fromkeys(self._holdings, 0))
            if held:
                self._take(dict.fromkeys(held, 0), time.monotonic())
        self._script.close()

    def _most(self, endpoint_id: int, now: float) -> int:
        """How many of the endpoint's places this process should have. `Gate.caps` does not exceed it after this."""
        holding, gate = self._holdings[endpoint_id], self._gate
        coming = holding.needed if now - holding.wanted_at < GRACE_S else 0
        load = gate.load_of(endpoint_id)
        if max(load, coming) < holding.places:
            # The cap comes down before the look: either the transport sees it, or we see what is about to be started.
            gate.caps[endpoint_id] = 0
            load = gate.load_of(endpoint_id)
        most = min(max(load, coming), holding.cap)
        gate.caps[endpoint_id] = min(most, holding.places)
        return most

    def _take(self, wanted: Mapping[int, int], asked_at: float) -> None:
        """Have so many places of each endpoint, or as many as there are; less than are held gives the others back."""
        args: list[str | float] = [self._process, int(LEASE_S * 1000)]
        for endpoint_id, most in wanted.items():
            args += [self._holdings[endpoint_id].cap, most]
        answer = self._script.call([f"{KEY_PREFIX}{endpoint_id}" for endpoint_id in wanted], args)
        granted = cast("list[int]", answer) if answer is not None else list(wanted.values())
        if answer is not None:
            self._note_renewal(wanted, asked_at)
        for endpoint_id, places in zip(wanted, granted, strict=True):
            holding = self._holdings[endpoint_id]
            # Without an answer the worse is true: what was to be taken is not ours, what was given back is not either.
            holding.places = places if answer is not None else min(places, holding.places)
            self._gate.caps[endpoint_id] = holding.places
        self._start_keeper()

    def _note_renewal(self, wanted: Mapping[int, int], asked_at: float) -> None:
        """All leases share one end: that of the one which was renewed longest ago."""
        if all(endpoint_id in wanted for endpoint_id, holding in self._holdings.items() if holding.places):
            self._gate.caps_until = asked_at + LEASE_S - LEASE_MARGIN_S

    def _forget(self, now: float) -> None:
        for endpoint_id in [pk for pk, holding in self._holdings.items() if now - holding.wanted_at > FORGET_S]:
            del self._holdings[endpoint_id]
            self._gate.caps.pop(endpoint_id, None)

    def _start_keeper(self) -> None:
        if self._keeper is None and not self._closing.is_set():
            self._keeper = threading.Thread(target=self._keep, name="places", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        while not self._closing.wait(KEEP_EVERY_S):
            try:
                self.keep_alive()
            except Exception:  # the loop's top: without this thread every capped endpoint would stop for good
                logger.exception("places.fault")
