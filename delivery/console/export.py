"""The deliveries list as a file: all that fit, a look at a time, so that memory stays as it is however many there are.

CSV has a line of names first. JSON has one object a line (JSON Lines): what was cut off shows, and any part can be read alone.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

from django.http import QueryDict

from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.console.listing import find, rows_of
from delivery.console.wanted import Wanted, span_of, until_now
from delivery.models import Delivery
from subscriptions.models import Tenant

ROWS_A_LOOK = 500
LINES_A_PIECE = 100
# A spreadsheet takes a cell that begins with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = (
    *("delivery_id", "event_id", "tenant", "endpoint", "subscription", "type", "subject", "tags", "source"),
    *("producer_id", "traceparent", "status", "attempts", "replays", "last_status_code", "last_error", "held_reason"),
    *("dead_reason", "accepted_at", "next_attempt_at", "finished_at", "dead_at", "cancelled_at"),
)

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    content_type: str
    extension: str
    write: Callable[[Iterable[Row]], Iterator[bytes]]


def rows(wanted: Wanted, now: datetime) -> Iterator[Row]:
    """Newest first; what is planned from `now` on is not part of it. Three queries a look."""
    wanted, before = until_now(wanted, now), None
    while True:
        found = find(wanted, span_of(wanted, before=before), ROWS_A_LOOK, ROWS_A_LOOK)
        yield from map(_row, rows_of(found.ids))
        before = _next_cursor(found.ids, found.reached)
        if before is None:
            return


def _next_cursor(ids: list[UUID], reached: UUID | None) -> UUID | None:
    return ids[-1] if len(ids) == ROWS_A_LOOK else reached


def _row(delivery: Delivery) -> Row:
    event = delivery._state.fields_cache.get("event")
    return {
        "delivery_id": str(delivery.pk),
        "event_id": str(delivery.event_id),
        "tenant": delivery.tenant.slug,
        "endpoint": delivery.endpoint.slug,
        "subscription": delivery.subscription.slug,
        "type": event.type if event else "",
        "subject": event.subject if event else "",
        "tags": event.tags if event else [],
        "source": event.source if event else "",
        "producer_id": event.producer_id if event else "",
        "traceparent": event.traceparent if event else "",
        "status": delivery.status,
        "attempts": delivery.attempts,
        "replays": delivery.replays,
        "last_status_code": delivery.last_status_code,
        "last_error": delivery.last_error_kind,
        "held_reason": delivery.held_reason,
        "dead_reason": delivery.dead_reason,
        "accepted_at": _iso(delivery.planned_at),
        "next_attempt_at": _iso(delivery.next_attempt_at),
        "finished_at": _iso(delivery.finished_at),
        "dead_at": _iso(delivery.dead_at),
        "cancelled_at": _iso(delivery.cancelled_at),
    }


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


class _Line:
    """What csv writes to: it keeps the last line."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def as_csv(found: Iterable[Row]) -> Iterator[bytes]:
    line = _Line()
    writer = csv.writer(line)
    writer.writerow(COLUMNS)
    yield line.text.encode()
    for row in found:
        writer.writerow([cell(row[name]) for name in COLUMNS])
        yield line.text.encode()


def cell(value: object) -> object:
    """As a spreadsheet may have it: what would be a formula is text, by the mark for text before it."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(FORMULA_STARTS) else text


def as_json_lines(found: Iterable[Row]) -> Iterator[bytes]:
    for row in found:
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


FORMATS = {
    made.name: made
    for made in (
        Format("csv", "text/csv; charset=utf-8", "csv", as_csv),
        Format("json", "application/x-ndjson; charset=utf-8", "jsonl", as_json_lines),
    )
}


def pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Several lines at once: each piece is a write to the network."""
    while piece := b"".join(islice(lines, LINES_A_PIECE)):
        yield piece


def file_name(form: Format, now: datetime) -> str:
    return f"deliveries-{now:%Y%m%dT%H%M%SZ}.{form.extension}"


def audit(wanted: Wanted, query: QueryDict, form: Format, actor: Actor) -> None:
    """In the tenant's chain where it is of one tenant; in the platform's when it goes across tenants."""
    chain = PLATFORM_CHAIN
    if wanted.tenant_ids is not None and len(wanted.tenant_ids) == 1:
        chain = Tenant.objects.values_list("slug", flat=True).get(pk__in=wanted.tenant_ids)
    details: dict[str, object] = {"format": form.name, "filter": {name: list(values) for name, values in query.lists()}}
    record(chain, actor, "deliveries.exported", "deliveries", details)
