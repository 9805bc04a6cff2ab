"""What waits to be delivered, and for how long: of everything, or of some tenants. Reads are bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from delivery.alerting.kinds import KINDS, RuleKind
from delivery.telemetry import gauges
from delivery.telemetry.remembered import Remembered, Tenants
from eventcenter import row_security
from eventcenter.store import rows

COUNT_MOST = 10_000
OLDEST_DUE_MOST_S = KINDS[RuleKind.OLDEST_DUE].threshold
GOOD_FOR_S = 1.5  # one of several people's polls reads for all
PLATFORM_GOOD_FOR_S, AWAY_FOR_S = 4.0, 30.0  # a broker that is away costs a second to find out


@dataclass(frozen=True, slots=True)
class Waiting:
    """`count` stops at COUNT_MOST: `more`. Of those `due` could go now; the oldest of them for `oldest_due_s`."""

    count: int
    more: bool
    due: int
    oldest_due_s: float

    @property
    def is_late(self) -> bool:
        return self.oldest_due_s > OLDEST_DUE_MOST_S


@dataclass(frozen=True, slots=True)
class Platform:
    """Of no tenant. None: Kafka, or Redis, does not answer."""

    outbox: int
    outbox_age_s: float
    lag: int | None
    queues: Mapping[str, int] | None
    in_flight: int

    @property
    def queued(self) -> int | None:
        return None if self.queues is None else sum(self.queues.values())


# Index: delivery_delivery_due (partial), its first rows in each partition: never more than the limit, whoever asks.
WAITING: LiteralString = """
SELECT count(*), count(*) FILTER (WHERE due_at <= %s), min(due_at) FROM (
    SELECT tenant_id, due_at FROM delivery_delivery WHERE due_at IS NOT NULL ORDER BY due_at LIMIT %s
) AS first WHERE %s::bigint[] IS NULL OR tenant_id = ANY (%s::bigint[])
"""

_waiting: Remembered[Waiting] = Remembered()
_platform: Remembered[Platform] = Remembered()


def waiting(now: datetime, tenants: Tenants) -> Waiting:
    """Of many thousands that wait only the first are looked at, for whomever it is asked."""
    return _waiting.read(tenants, lambda: _read_waiting(now, tenants), lambda _: GOOD_FOR_S)


def platform(now: datetime) -> Platform:
    return _platform.read("platform", lambda: _read_platform(now), _platform_good_for)


def forget() -> None:
    """What is remembered, so that the next one reads."""
    _waiting.forget()
    _platform.forget()


def _read_waiting(now: datetime, tenants: Tenants) -> Waiting:
    """Row security would look through all that wait to find a tenant's few: the statement itself narrows what it tells."""
    own = None if tenants is None else sorted(tenants)
    with row_security.unscoped():
        ((count, due, oldest),) = rows(WAITING, [now, COUNT_MOST, own, own])
        oldest_s = max((now - oldest).total_seconds(), 0.0) if oldest else 0.0
        if tenants is None:  # and what no worker has taken yet
            ((oldest_s,),) = rows(gauges.OLDEST_DUE, [now])
    return Waiting(count, count >= COUNT_MOST, due, oldest_s or 0.0)


def _read_platform(now: datetime) -> Platform:
    found = gauges.read(now)
    return Platform(found.outbox_depth, found.outbox_age_s, found.consumer_lag, found.queue_depth, found.in_flight)


def _platform_good_for(found: Platform) -> float:
    return AWAY_FOR_S if found.lag is None or found.queues is None else PLATFORM_GOOD_FOR_S
