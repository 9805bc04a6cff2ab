"""Rate limits per endpoint and per tenant, over all processes: slots reserved in Redis, many with one round trip.

A slot is a moment at which one request may start. An endpoint's slots are evenly spaced (GCRA: ITU-T I.371, without a
burst); Redis keeps when the next one may be. A tenant's slots are spread over its endpoints, each with a spacing of its
own, so Redis counts them in small buckets of time, and no window of a second may hold more than the limit: an endpoint that is
slower than its tenant's limit takes only the slots that it uses.

A slot may be used up to 20 ms after its time (the lanes see to that: LATE_SHARE), and requests do not all take the same time to
arrive. So what is counted as a second is SECOND_AS seconds long: a receiver sees at most the limit in any second, and at
least 95 % of it while there is enough to send.

When Redis loses its data, what was reserved is granted once more: one RESERVE_HORIZON_S at twice the limit, at most.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import NamedTuple, cast

from delivery.limiting.redis_script import AWAY_S, RedisScript

# Slots are given out to this far ahead: long enough that whoever asks again has them without a gap, short enough that
# little is lost with a process.
RESERVE_HORIZON_S = 1.0
# No slot is nearer than this: the batch has to be built and handed over first. It costs nothing under a backlog.
LEAD_S = 0.05
# Seconds; the room for lateness and for jitter on the way: 20 + 10 ms. The limit is used to 1 / 1.03 = 97.1 %.
SECOND_AS = 1.03
# A second of a tenant in buckets; a window of SECOND_AS touches up to 207 of them: 96.6 % of the limit is used.
BUCKETS_A_SECOND = 200
WINDOW_BUCKETS = 207
# An answer to `reserve` never asks to come back sooner.
LEAST_WAIT_S = 0.05

KEY_PREFIX = "eventcenter:limit:"
SCRIPT = (Path(__file__).parent / "limits.lua").read_text()
US = 1_000_000


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """Slots for `count` requests to an endpoint. Rates are a second, above 0; None: no limit.

    A tenant's rate above 1 counts without its fraction.
    """

    endpoint_id: int
    tenant_id: int
    endpoint_rate: float | None
    tenant_rate: float | None
    count: int


class Slots(NamedTuple):
    """`granted` slots: the first `first_in_s` from now, the others `spacing_s` apart. Ask for the rest after `wait_s`.

    `first_at` is the first one's time by this process' monotonic clock, for whoever has something to do before it.
    """

    granted: int
    first_in_s: float
    spacing_s: float
    wait_s: float
    first_at: float = 0.0


class Limiter:
    """Safe to use from several threads."""

    def __init__(self, redis_url: str) -> None:
        self._script = RedisScript(redis_url, SCRIPT, "limiter")

    def reserve(self, requests: Sequence[SlotRequest], now: float | None = None) -> list[Slots]:
        """An answer for each request, in their order. While Redis is away nothing that has a limit is granted.

        `now`: epoch seconds in place of the server's clock, for tests.
        """
        limited = [request for request in requests if is_limited(request)]
        answers = iter(self._ask(limited, now, take=True))
        answered_at = time.monotonic()
        return [
            _slots(request, next(answers), answered_at) if is_limited(request) else Slots(request.count, 0.0, 0.0, 0.0)
            for request in requests
        ]

    def room(self, requests: Sequence[SlotRequest], now: float | None = None) -> list[int]:
        """How many slots `reserve` would grant now, for each in turn; none is taken."""
        limited = [request for request in requests if is_limited(request)]
        answers = iter(self._ask(limited, now, take=False))
        return [_granted(next(answers)) if is_limited(request) else request.count for request in requests]

    def close(self) -> None:
        self._script.close()

    def _ask(self, requests: Sequence[SlotRequest], now: float | None, *, take: bool) -> list[list[int] | None]:
        if not requests:
            return []
        now_us = -1 if now is None else round(now * US)
        args: list[float] = [now_us, RESERVE_HORIZON_S * US, LEAD_S * US, int(take), WINDOW_BUCKETS]
        keys: list[str] = []
        for request in requests:
            keys += [f"{KEY_PREFIX}e:{request.endpoint_id}", f"{KEY_PREFIX}t:{request.tenant_id}"]
            args += _numbers(request)
        answers = self._script.call(keys, args)
        return cast("list[list[int] | None]", answers) if answers is not None else [None] * len(requests)


def is_limited(request: SlotRequest) -> bool:
    return bool(request.endpoint_rate or request.tenant_rate)


def spacing_s(request: SlotRequest) -> float:
    """Between two slots of an endpoint: the slower of the two limits."""
    return max(_endpoint_spacing_s(request.endpoint_rate), _tenant_spacing_s(request.tenant_rate))


def _endpoint_spacing_s(rate: float | None) -> float:
    return SECOND_AS / rate if rate else 0.0


def _tenant_spacing_s(rate: float | None) -> float:
    return WINDOW_BUCKETS * _bucket_s(rate) / _tenant_cap(rate) if rate else 0.0


def _tenant_cap(rate: float) -> int:
    """What a window of a tenant may hold: a second's worth; one, where the limit is less than one a second."""
    return max(floor(rate), 1)


def _bucket_s(rate: float) -> float:
    return max(1.0, 1.0 / rate) / BUCKETS_A_SECOND


def _numbers(request: SlotRequest) -> list[float]:
    """The script's four arguments of a request."""
    tenant_rate = request.tenant_rate
    return [
        request.count,
        spacing_s(request) * US,
        _tenant_cap(tenant_rate) if tenant_rate else 0,
        _bucket_s(tenant_rate) * US if tenant_rate else 1,
    ]


def _granted(answer: list[int] | None) -> int:
    return answer[0] if answer else 0


def _slots(request: SlotRequest, answer: list[int] | None, answered_at: float) -> Slots:
    if answer is None:
        return Slots(0, 0.0, spacing_s(request), AWAY_S)
    granted, first_us, coming_us = answer
    # Whoever asks half a horizon before the next slot gets it, and some more, in time.
    wait_s = max(coming_us / US - RESERVE_HORIZON_S / 2, LEAST_WAIT_S)
    return Slots(granted, first_us / US, spacing_s(request), wait_s, answered_at + first_us / US)
