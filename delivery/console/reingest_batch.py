"""Several rejected messages at once: what would become of the oldest that a filter finds, and sending those on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db.models import F, Func, IntegerField

from audit.trail import Actor
from delivery.console.window import Window
from eventcenter.models import RejectedEvent, RejectedEventQuerySet
from eventcenter.reingest import ROWS_MOST, Fate, Verdict, judge, reingest

# What one request takes: each is read and judged, and takes its place in the audit trail.
BATCH_MOST = 500
BATCH_BYTES = 32 * 1024 * 1024
ROWS_AT_ONCE = 50
SAMPLES_MOST = 5

T = TypeVar("T")


@dataclass(slots=True)
class Tally:
    """What became, or would become, of so many. `samples`: a few that would still be rejected, by what is wrong."""

    fates: Counter[Fate] = field(default_factory=Counter)
    samples: dict[str, UUID] = field(default_factory=dict)

    def add(self, verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            self.fates[verdict.fate] += 1
            if verdict.fate is Fate.REFUSED and len(self.samples) < SAMPLES_MOST:
                self.samples.setdefault(verdict.detail, verdict.row.pk)

    @property
    def accepted(self) -> int:
        return self.fates[Fate.ACCEPTED]

    @property
    def duplicates(self) -> int:
        return self.fates[Fate.DUPLICATE]

    @property
    def refused(self) -> int:
        return self.fates[Fate.REFUSED]

    @property
    def settled(self) -> int:
        return self.fates[Fate.SETTLED]

    @property
    def going(self) -> int:
        """What a press would settle."""
        return self.accepted + self.duplicates


@dataclass(frozen=True, slots=True)
class Batch:
    """The oldest ids, up to what one request takes. `more`: others lie beyond `last`."""

    ids: list[UUID]
    last: UUID | None
    more: bool


def batch_of(rows: RejectedEventQuerySet, window: Window, until: UUID | None = None) -> Batch:
    """One query. `rows` are those of `window`. `until`: none newer, so that a press takes what was confirmed."""
    size = Func(F("value"), function="octet_length", output_field=IntegerField())
    sized = list(rows.order_by("pk").values_list("pk", size)[: BATCH_MOST + 1])
    ids: list[UUID] = []
    octets = 0
    for pk, of_value in sized[:BATCH_MOST]:
        octets += of_value
        if (until and pk > until) or (ids and octets > BATCH_BYTES):
            break
        ids.append(pk)
    if len(ids) < len(sized):
        return Batch(ids, ids[-1] if ids else until, True)
    return Batch(ids, window.edge or (ids[-1] if ids else None), window.edge is not None)


def foreseen(ids: Sequence[UUID], now: datetime) -> Tally:
    """Reads only."""
    tally = Tally()
    for part in _parts(ids, ROWS_AT_ONCE):
        tally.add(judge(list(RejectedEvent.objects.filter(pk__in=part).order_by("pk")), now))
    return tally


def send_on(ids: Sequence[UUID], actor: Actor) -> Tally:
    """A transaction for each ROWS_MOST of them, oldest first."""
    tally = Tally()
    for part in _parts(ids, ROWS_MOST):
        tally.add(reingest(part, actor))
    return tally


def _parts(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), most):
        yield items[first : first + most]
