"""What was counted since it was last told: totals against the cursors in PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from delivery.models import TelemetryCursor
from delivery.telemetry import sums
from delivery.telemetry.by_endpoint import (
    ByEndpoint,
    Names,
    add_by_endpoint,
    endpoint_counts,
    refusals,
    tenant_counts,
)
from delivery.telemetry.catalog import COUNTED
from delivery.telemetry.deployment import add_ingested, ingested, refused, total_refusals
from delivery.telemetry.reading import Reading, counted, reading
from delivery.telemetry.settled import Settled
from delivery.telemetry.sums import EndpointSums, Sums
from eventcenter.store import rows

BEGAN = "began"
COLUMNS = tuple(column for column, *_ in COUNTED)
# Writers of cursors one after the other: a process that has just lost the election may still be at it.
ALONE = "SELECT pg_advisory_xact_lock(hashtext('delivery.telemetry.increments'))"

Counts = dict[str, int]


@dataclass(slots=True)
class Increments:
    """Counts since the last time, as they were counted."""

    by_endpoint: ByEndpoint
    ingested: Counts
    refused: Counter[tuple[int, str]]  # (tenant, reason)

    def readings(self, known: Names) -> Iterator[Reading]:
        """Of the deployment, of each endpoint and of each tenant. What labels there are is decided now, not at the sum."""
        yield from counted("delivery", sum(self.by_endpoint.values(), Sums()))
        for name, count in self.ingested.items():
            yield reading(f"event_delivery_{name}_total", count)
        yield from total_refusals(self.refused)
        yield from endpoint_counts(self.by_endpoint, known)
        yield from tenant_counts(self.by_endpoint, known)
        yield from refusals(self.refused, known)


class Ledger:
    """Remembers settled sums: one for the life of a process."""

    def __init__(self) -> None:
        self._sums = Settled(sums.total_by_endpoint, add_by_endpoint)
        self._ingested = Settled(ingested, add_ingested)
        self._refused = Settled(refused, lambda one, other: one + other)

    def take(self, now: datetime) -> Increments:
        """In the caller's transaction: what is taken is told when it commits, and comes again when it is rolled back.

        The first time ever there is nothing: what was counted before somebody listened is no news.
        """
        rows(ALONE, [])
        by_endpoint = self._sums.read(now)
        totals = self._totals(by_endpoint, now)
        told = dict(TelemetryCursor.objects.values_list("key", "totals"))
        begins = BEGAN not in told
        changed = {key: counts for key, counts in totals.items() if counts != told.get(key, {})}
        _keep(changed | ({BEGAN: {}} if begins else {}))
        new = {} if begins else {key: _since(counts, told.get(key, {})) for key, counts in changed.items()}
        return _increments(new, by_endpoint)

    def _totals(self, by_endpoint: ByEndpoint, now: datetime) -> dict[str, Counts]:
        found = {
            f"endpoint:{key}": {column: getattr(each, column) for column in COLUMNS if getattr(each, column)}
            for key, each in by_endpoint.items()
        }
        for (tenant_id, reason), count in self._refused.read(now).items():
            found[f"refused:{tenant_id}:{reason}"] = {"count": count}
        return found | {"ingest": self._ingested.read(now)._asdict()}


def _increments(new: Mapping[str, Counts], by_endpoint: ByEndpoint) -> Increments:
    made = Increments({}, new.get("ingest", {}), Counter())
    for key, counts in new.items():
        kind, _, rest = key.partition(":")
        if kind == "endpoint":
            values: dict[str, Any] = dict(counts)
            made.by_endpoint[int(rest)] = EndpointSums(**values, tenant_id=by_endpoint[int(rest)].tenant_id)
        elif kind == "refused":
            tenant_id, _, reason = rest.partition(":")
            made.refused[int(tenant_id), reason] = counts["count"]
    return made


def _since(counts: Counts, told: Counts) -> Counts:
    """Never below nothing."""
    return {name: max(count - told.get(name, 0), 0) for name, count in counts.items()}


def _keep(changed: Mapping[str, Counts]) -> None:
    TelemetryCursor.objects.bulk_create(
        [TelemetryCursor(key=key, totals=totals) for key, totals in changed.items()],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["totals"],
    )
