"""All that the page of the system shows, read at once: PostgreSQL in this request, the rest as `Kept` has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, LiteralString

from delivery.models import BreakerState, DispatchLane
from delivery.system import bus, path, processes, queues, tables
from delivery.system.bus import Lag, Partition
from delivery.system.kept import Look
from delivery.system.path import Facts, Stage, Tone
from delivery.system.processes import Role
from delivery.system.queues import Queues
from delivery.system.tables import Tables
from delivery.telemetry import deployment, gauges, sums
from delivery.telemetry.gauges import Gauges
from delivery.telemetry.sums import FOREVER
from eventcenter.store import rows

RATE_MINUTES: Final = 5
LEASE_GRACE: Final = timedelta(seconds=5)  # the sweep comes every second

# No index: a row a batch, up to the limit.
LATE_LEASES: LiteralString = """
SELECT count(*) FROM (SELECT 1 FROM delivery_dispatch WHERE lease_until < %s LIMIT %s) AS counted
"""

_lag: Final = Lag()


@dataclass(frozen=True, slots=True)
class System:
    now: datetime
    tone: Tone
    sentence: str
    stages: list[Stage]
    roles: list[Role]
    lag: Look[list[Partition]]
    queues: Look[Queues]
    lanes: list[tuple[str, int]]
    gauges: Gauges
    late_leases: int
    tables: Look[Tables]

    @property
    def missing(self) -> list[Role]:
        return [role for role in self.roles if role.is_missing]


def read(now: datetime) -> System:
    """Raises what PostgreSQL raises; the others' absence is told in its part."""
    lag, queued = _lag.read(), queues.read()
    behind = bus.total(lag.value)[0] if lag.value is not None else None
    standing = gauges.stored(now, behind, queued.value.depth if queued.value else None)
    roles = processes.read(now)
    ((late_leases,),) = rows(LATE_LEASES, [now - LEASE_GRACE, gauges.COUNT_MOST])
    stages = path.stages(_facts(now, lag, queued, standing, roles, late_leases))
    tone, sentence = path.sentence(stages)
    lanes = path.lanes(queued.value.depth, dict(DispatchLane.choices)) if queued.value else []
    return System(now, tone, sentence, stages, roles, lag, queued, lanes, standing, late_leases, tables.read())


def _facts(
    now: datetime,
    lag: Look[list[Partition]],
    queued: Look[Queues],
    standing: Gauges,
    roles: Sequence[Role],
    late_leases: int,
) -> Facts:
    _, coming, taken = bus.total(lag.value or [])
    since = now - timedelta(minutes=RATE_MINUTES)
    return Facts(
        accepted_a_minute=deployment.ingested(since, FOREVER).ingested / RATE_MINUTES,
        delivered_a_minute=sums.total(since, FOREVER).delivered / RATE_MINUTES,
        outbox_depth=standing.outbox_depth,
        outbox_age_s=standing.outbox_age_s,
        lag=standing.consumer_lag,
        coming=coming,
        taken=taken,
        kafka_error=lag.error,
        oldest_due_s=standing.oldest_due_s,
        open_dispatches=standing.open_dispatches,
        late_leases=late_leases,
        queued=sum(queued.value.depth.values()) if queued.value else None,
        redis_error=queued.error,
        in_flight=standing.in_flight,
        held=sum(standing.held.values()),
        breakers_open=standing.breakers[BreakerState.OPEN] + standing.breakers[BreakerState.HALF_OPEN],
        silent=frozenset(role.name for role in roles if role.is_missing),
    )
