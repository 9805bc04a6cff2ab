from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from audit import store
from audit.export import entry_line, head_line
from audit.heads import Claim, Head
from audit.models import AuditHead


class Command(BaseCommand):
    help = "Write the audit trail as JSON Lines. Example: manage.py export_audit --chain acme --output acme.jsonl"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--chain", action="append", help="A tenant's slug, or platform; may be repeated. Without: all."
        )
        parser.add_argument("--since", help="ISO 8601 with a zone, such as 2025-11-05T12:00:00Z; included.")
        parser.add_argument("--until", help="The same; not included.")
        parser.add_argument("--output", type=Path, help="A file that is not there yet. Without: standard output.")

    def handle(self, *args: Any, **options: Any) -> None:
        since, until = _moment("--since", options["since"]), _moment("--until", options["until"])
        known = store.ends()
        chains = options["chain"] or sorted(known)
        unknown = sorted(set(chains) - known.keys())
        if unknown:
            raise CommandError(f"--chain takes a chain that has entries; {', '.join(unknown)} has none.")
        if options["output"] is None:
            _write(self.stdout, chains, since, until)
            return
        try:
            with options["output"].open("x", encoding="utf-8") as out:
                count = _write(out, chains, since, until)
        except OSError as error:
            raise CommandError(f"--output takes a file that can be made: {error}.") from None
        self.stderr.write(f"{count:,} lines")


def _write(out: Any | TextIO, chains: list[str], since: datetime | None, until: datetime | None) -> int:
    count = 0
    for line in _lines(chains, since, until):
        out.write(line + "\n")
        count += 1
    return count


def _lines(chains: list[str], since: datetime | None, until: datetime | None) -> Iterator[str]:
    """Of each chain its entries in order, then its signed head if the entry is among them."""
    for chain in chains:
        head = AuditHead.objects.filter(chain=chain).first()
        reached = False
        with transaction.atomic():
            for entry in store.entries(chain, since=since, until=until):
                reached = reached or (head is not None and head.position == entry.link.position)
                yield entry_line(entry)
        if head is not None and reached:
            claim = Claim(chain, head.position, bytes(head.digest), head.at, head.key_id)
            yield head_line(Head(claim, bytes(head.signature)))


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise CommandError(f"{name} takes a moment with a zone, such as 2025-11-05T12:00:00Z; not {text!r}.")
    return found.astimezone(UTC)
