"""The deliveries list: a page of what is wanted, how many there are, and whether anything on it has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db.models import Prefetch

from delivery.console.look import NOTHING, Look, look, look_among, of_events
from delivery.console.paging import COUNT_MOST, PAGE_ROWS, Cursor
from delivery.console.wanted import LAST_ID, Span, Wanted, millisecond_of, span_of
from delivery.models import Delivery
from eventcenter.ids import id_time
from eventcenter.lookup import matching_events
from eventcenter.models import Event

EVENTS_MOST = 200  # of a search, a look
DELIVERIES_MOST = 10_000  # of those events
ROW_STATE = (
    "status",
    "attempts",
    "replays",
    "next_attempt_at",
    "held_reason",
    "dead_reason",
    "last_status_code",
    "last_error_kind",
)
SHOWN = (
    *("id", "event_id", "round_at", "finished_at", "dead_at", "cancelled_at", "tries", *ROW_STATE),
    *(f"{name}__{field}" for name in ("tenant", "endpoint", "subscription") for field in ("id", "slug")),
)


@dataclass(frozen=True, slots=True)
class Listing:
    """A page. `older`, `newer`: the cursors of its neighbours; `further`: where to go on, because the look ended before
    the page was full, after `looked` rows. `count` None: not counted; `at_least`: there may be more.
    """

    rows: list[Delivery]
    older: UUID | None = None
    newer: UUID | None = None
    further: UUID | None = None
    looked: int = 0
    count: int | None = None
    at_least: bool = False

    @property
    def reached_at(self) -> datetime | None:
        return id_time(self.further) if self.further else None


def listed(wanted: Wanted, cursor: Cursor, size: int = PAGE_ROWS, most: int = COUNT_MOST) -> Listing:
    """Counted on the newest page alone, which one look does with it. An `after` page that is not full becomes the newest."""
    if cursor.after and not wanted.sought and (ahead := _ahead(wanted, cursor.after, size)):
        return ahead
    counts = cursor.before is None
    found = find(wanted, span_of(wanted, before=cursor.before), size + 1, most + 1 if counts else size + 1)
    shown = found.ids[:size]
    is_full = len(found.ids) > size
    newer = cursor.before and (shown[0] if shown else cursor.before)
    return Listing(
        rows_of(shown),
        older=shown[-1] if is_full else None,
        newer=None if wanted.sought else newer,
        further=None if is_full else found.reached,
        looked=found.looked,
        count=min(found.found, most) if counts else None,
        at_least=found.found > most or found.reached is not None,
    )


def _ahead(wanted: Wanted, after: UUID, size: int) -> Listing | None:
    found = find(wanted, span_of(wanted, after=after), size + 1, size + 1)
    if found.reached is None and len(found.ids) < size:
        return None
    shown = found.ids[:size][::-1]
    newer = shown[0] if len(found.ids) > size else found.reached
    return Listing(rows_of(shown), older=shown[-1] if shown else after, newer=newer, looked=found.looked)


def find(wanted: Wanted, span: Span, shown: int, most: int) -> Look:
    """By what was searched for where there is something, else by the list's own order."""
    if not wanted.sought:
        return look(wanted, span, shown, most)
    span = replace(span, ascending=False)
    events, reached = _events(wanted, span)
    ids = of_events(events, DELIVERIES_MOST)
    if wanted.sought.id:
        ids = [*ids, wanted.sought.id]  # a delivery's own
    found = look_among(set(ids), wanted, span, shown, most) if ids else NOTHING
    if reached is None or found.found >= most:
        return found
    return replace(found, reached=reached, looked=len(ids))


def _events(wanted: Wanted, span: Span) -> tuple[list[UUID], UUID | None]:
    """Events that are searched for, newest first; and where they go on, None: nowhere.

    Those of the last one's millisecond are left to the next look, which begins there: a delivery's id does not say more.
    """
    before = None if span.before == LAST_ID else _first_of(_next(span.before))
    found = [key for key, _ in matching_events(wanted.sought, wanted.tenant_ids, before, EVENTS_MOST)]
    if len(found) < EVENTS_MOST or found[-1] < span.after:
        return found, None
    last, _ = millisecond_of(found[-1])
    kept = [key for key in found if key > _last_of(last)] or found
    return kept, _next(last) if kept is not found else last


def _first_of(key: UUID) -> UUID:
    return millisecond_of(key)[0]


def _last_of(key: UUID) -> UUID:
    return millisecond_of(key)[1]


def _next(key: UUID) -> UUID:
    """The first id of the millisecond after it."""
    return UUID(int=min(_last_of(key).int + 1, LAST_ID.int))


def rows_of(ids: Sequence[UUID]) -> list[Delivery]:
    """What a list row shows, newest first. Two queries; an event that is past its retention leaves its deliveries."""
    if not ids:
        return []
    rows = Delivery.objects.filter(pk__in=ids, pk__range=(min(ids), max(ids))).order_by("-pk")
    events = Prefetch("event", Event.objects.defer("body"))
    return list(rows.select_related("tenant", "endpoint", "subscription").only(*SHOWN).prefetch_related(events))


def mark_of(rows: Sequence[Delivery]) -> str:
    """Another one as soon as what these rows show is another."""
    return _mark([(row.pk, *(getattr(row, name) for name in ROW_STATE)) for row in rows])


def mark_now(wanted: Wanted, size: int = PAGE_ROWS) -> str:
    """Of the newest page, by the cheapest question: no names, no events, no count."""
    ids = find(wanted, span_of(wanted), size, size).ids
    rows = Delivery.objects.filter(pk__in=ids, pk__range=(min(ids), max(ids))) if ids else Delivery.objects.none()
    return _mark(list(rows.order_by("-pk").values_list("pk", *ROW_STATE)))


def _mark(states: Sequence[tuple[object, ...]]) -> str:
    return hashlib.blake2b(repr(states).encode(), digest_size=12).hexdigest()
