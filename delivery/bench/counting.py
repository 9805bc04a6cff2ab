"""What counting costs a delivery: the recorder's statement as it is, beside the same one with its counting cut out.

Measured is CPU, of PostgreSQL's process and of this one: other work on the machine changes it little. PostgreSQL must be on
this machine.

That is all of it. A worker computes nothing for it: minutes, endpoints and buckets are told apart in PostgreSQL, from the
results that it writes anyway.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import LiteralString

from django.db import connection, transaction
from django.utils import timezone

from delivery import store
from delivery.planning import PlannedDelivery
from delivery.store import NewDispatch, ResultRow, id_bounds
from delivery.worker.recorder import GROUP_MOST
from eventcenter.ids import new_id
from eventcenter.store import columns_of, rows

GROUPS = 1_000
WARM_GROUPS = 50
WORKER, SHARD = "bench", 1


def without_counting(statement: LiteralString) -> LiteralString:
    """RECORD without the part that writes the minute counters; it takes no shard then."""
    before, _, rest = statement.partition("), counted AS (")
    _, _, after = rest.partition("), finished AS (")
    assert after
    return f"{before}), finished AS ({after}"


# The one column that was added for telemetry alone; the others are as old as the counters.
REFUSALS = ("count(*) FILTER (WHERE r.status_code IN (401, 403))", "0")
STATEMENTS: dict[str, LiteralString] = {
    "all": store.RECORD,
    "no refusals": store.RECORD.replace(*REFUSALS),
    "nothing": without_counting(store.RECORD),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians over groups, µs of CPU a delivery, by what is counted: of PostgreSQL, and of the process that sends results."""

    endpoints: int
    postgres_us: Mapping[str, float]
    worker_us: Mapping[str, float]


def measure(endpoints: int, groups: int = GROUPS, group: int = GROUP_MOST) -> Cost:
    """Full groups of results, spread over so many endpoints each, each statement in its turn."""
    taken: dict[str, list[tuple[float, float]]] = {counted: [] for counted in STATEMENTS}
    for number in range(groups + WARM_GROUPS):
        for counted, spent in taken.items():
            found = record_group(counted, endpoints, group)
            if number >= WARM_GROUPS:
                spent.append(found)
    medians = {
        counted: [statistics.median(side) / group * 1e6 for side in zip(*spent, strict=True)]
        for counted, spent in taken.items()
    }
    return Cost(endpoints, *({counted: found[side] for counted, found in medians.items()} for side in (0, 1)))


def record_group(counted: str, endpoints: int, group: int) -> tuple[float, float]:
    """Seconds of CPU that the statement took, of PostgreSQL and of this process. What is around it is not measured."""
    now = timezone.now()
    planned = [
        PlannedDelivery(new_id(), 1, new_id(), 1 + place % endpoints, 1 + place % endpoints, "fast")
        for place in range(group)
    ]
    with transaction.atomic():
        store.copy_deliveries(planned, now)
        (hint,) = store.insert_dispatches([NewDispatch("fast", [each.id for each in planned])], 60.0, now)
    results = [_delivered(each, hint.dispatch_id, now) for each in planned]
    with transaction.atomic():
        theirs, ours = _backend_s(), time.thread_time()
        moved = rows(STATEMENTS[counted], _parameters(counted, results, hint.dispatch_id))
        ours, theirs = time.thread_time() - ours, _backend_s() - theirs
    assert len(moved) == group
    return theirs, ours


def _backend_s() -> float:
    """CPU that the backend of this connection has had: https://docs.kernel.org/scheduler/sched-stats.html, in ns."""
    pid = connection.connection.info.backend_pid
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _parameters(counted: str, results: Sequence[ResultRow], dispatch_id: int) -> list[object]:
    bounds = id_bounds([each.delivery_id for each in results])
    shard = [] if counted == "nothing" else [SHARD]
    return [*columns_of(results), *bounds, WORKER, *shard, [dispatch_id], [0]]


def _delivered(planned: PlannedDelivery, dispatch_id: int, now: datetime) -> ResultRow:
    return ResultRow(
        planned.id, dispatch_id, 0, "delivered", None, None, "", "", now, 12.5, "delivered", 204, "", "", "[]", b"",
        "127.0.0.1:80", 40.0,
    )  # fmt: skip


def as_text(costs: Sequence[Cost]) -> str:
    lines = ["", f"recording a result, µs of CPU a delivery, medians of {GROUPS:,} groups of {GROUP_MOST}"]
    for cost in costs:
        lines.append(f"{cost.endpoints} endpoints a group")
        for words, found in (("PostgreSQL", cost.postgres_us), ("worker", cost.worker_us)):
            told = "   ".join(f"counting {counted} {value:.2f}" for counted, value in found.items())
            lines.append(f"  {words:<11} {told}")
    return "\n".join(lines)
