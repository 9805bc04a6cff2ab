"""The trail as a file, streamed: JSON Lines with the digests, which verify_audit reads, or CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Final

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from audit import store
from audit.export import entry_line
from audit.models import AuditEntry

CHUNK: Final = 1_000  # entries read at once
COLUMNS: Final = ("at", "chain", "position", "actor", "address", "action", "target", "details")
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would work out instead of showing


def download(rows: QuerySet[AuditEntry], form: str) -> StreamingHttpResponse:
    """Oldest first. `form` is one of FORMATS."""
    write, kind = FORMATS[form]
    response = StreamingHttpResponse(write(_in_order(rows)), content_type=kind)
    name = f"audit-{timezone.now():%Y%m%dT%H%M%SZ}.{form}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _in_order(rows: QuerySet[AuditEntry]) -> Iterator[AuditEntry]:
    """A query a chunk, from where the last one ended: no cursor of the database is held while the reader is slow."""
    last = 0
    while True:
        chunk = list(rows.filter(id__gt=last).order_by("id")[:CHUNK])
        yield from chunk
        if len(chunk) < CHUNK:
            return
        last = chunk[-1].pk


def _json_lines(entries: Iterator[AuditEntry]) -> Iterator[bytes]:
    for entry in entries:
        yield f"{entry_line(store.as_stored(entry))}\n".encode()


def _csv(entries: Iterator[AuditEntry]) -> Iterator[bytes]:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for entry in entries:
        details = json.dumps(entry.details, ensure_ascii=False, sort_keys=True)
        told = (entry.chain, entry.position, entry.actor, entry.address, entry.action, entry.target, details)
        writer.writerow([entry.at.isoformat(timespec="microseconds"), *map(_plain, told)])
        yield _taken(out)
    yield _taken(out)


def _plain(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _taken(out: io.StringIO) -> bytes:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text.encode()


Write = Callable[[Iterator[AuditEntry]], Iterator[bytes]]
FORMATS: Final[dict[str, tuple[Write, str]]] = {
    "jsonl": (_json_lines, "application/jsonl"),
    "csv": (_csv, "text/csv; charset=utf-8"),
}
