"""Keyset pages over UUIDv7 ids, newest first, and counts that stop counting. No OFFSET: page 1,000 costs what page 1 costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import QueryDict

PAGE_ROWS = 50
COUNT_MOST = 10_000

T = TypeVar("T", bound=Model)
Key = UUID | int
KEY_MOST = 2**63 - 1  # of a bigint


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: rows older than `before`, or rows newer than `after`; the newest page without both."""

    before: UUID | None = None
    after: UUID | None = None

    @classmethod
    def of(cls, query: QueryDict) -> Cursor:
        """From the URL; what is no id is as good as absent."""
        return cls(_uuid(query.get("before")), _uuid(query.get("after")))

    @property
    def is_newest(self) -> bool:
        return self.before is None and self.after is None


@dataclass(frozen=True, slots=True)
class NumberCursor:
    """The same for rows whose ids are numbers, given out in the order of time."""

    before: int | None = None
    after: int | None = None

    @classmethod
    def of(cls, query: QueryDict) -> NumberCursor:
        return cls(_number(query.get("before")), _number(query.get("after")))

    @property
    def is_newest(self) -> bool:
        return self.before is None and self.after is None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`older` and `newer`: the cursors of the neighbouring pages, None where there are none."""

    rows: list[T]
    older: Key | None
    newer: Key | None


def page_of(rows: QuerySet[T], cursor: Cursor | NumberCursor, size: int = PAGE_ROWS) -> Page[T]:
    """One query of at most `size` + 1 rows. An `after` page that is not full becomes the newest page."""
    if cursor.after is not None:
        ahead = list(rows.filter(pk__gt=cursor.after).order_by("pk")[: size + 1])
        if len(ahead) >= size:
            shown = ahead[:size][::-1]
            return Page(shown, shown[-1].pk, shown[0].pk if len(ahead) > size else None)
    if cursor.before is not None:
        rows = rows.filter(pk__lt=cursor.before)
    found = list(rows.order_by("-pk")[: size + 1])
    shown = found[:size]
    newer = shown[0].pk if shown and cursor.before is not None else None
    return Page(shown, shown[-1].pk if len(found) > size else None, newer)


def capped_count(rows: QuerySet[T], most: int = COUNT_MOST) -> tuple[int, bool]:
    """(count, whether there are more): reads at most `most` + 1 rows."""
    found = rows.order_by()[: most + 1].count()
    return min(found, most), found > most


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None


def _number(text: str | None) -> int | None:
    return (
        int(text) if text and text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= KEY_MOST else None
    )
