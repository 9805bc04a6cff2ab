"""How far back a list looks for what no index knows: a bounded window of rows, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Count, Max, Min, QuerySet, TextField
from django.db.models.functions import Cast

from eventcenter.ids import id_time

# So many rows of a small tenant, each on a page of its own, are read and tested within some 10 ms.
LOOKS_MOST = 3_000
# A count of what was tested one by one ends earlier than one by index alone.
COUNT_MOST = 1_000

Rows = TypeVar("Rows", bound=QuerySet[Any])


@dataclass(frozen=True, slots=True)
class Window:
    """`edge`: the last id that was looked at; None: all there is was looked at, and nothing lies beyond."""

    looked: int
    edge: UUID | None = None

    @property
    def reaches(self) -> datetime | None:
        return id_time(self.edge) if self.edge else None


def newest(rows: Rows, before: UUID | None, most: int = LOOKS_MOST) -> tuple[Rows, Window]:
    """The rows within the window that begins below `before`. `rows` are those that an index finds; one query."""
    begin = rows.filter(pk__lt=before) if before else rows
    looked, edge = _edge(begin.order_by("-pk"), most, Min)
    return (begin.filter(pk__gte=edge) if edge else begin), Window(looked, edge)


def oldest(rows: Rows, after: UUID | None, most: int = LOOKS_MOST) -> tuple[Rows, Window]:
    """The same from the other end."""
    begin = rows.filter(pk__gt=after) if after else rows
    looked, edge = _edge(begin.order_by("pk"), most, Max)
    return (begin.filter(pk__lte=edge) if edge else begin), Window(looked, edge)


def _edge(ordered: QuerySet[Any], most: int, last: type[Min] | type[Max]) -> tuple[int, UUID | None]:
    """As text, which has the order of the ids: PostgreSQL before 18 knows no least uuid."""
    ids = ordered.values("pk")[:most]
    found = ids.aggregate(looked=Count("pk"), edge=last(Cast("pk", TextField())))
    return found["looked"], UUID(found["edge"]) if found["looked"] == most else None
