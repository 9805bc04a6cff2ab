from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.trail import Actor
from eventcenter.key_rotation import Report, rotate

ACTOR = Actor("system:rotate_encryption_key")


class Command(BaseCommand):
    help = (
        "Bring every data key under the first key of ENCRYPTION_KEYS, and values of the time before data keys under a "
        "data key. First give every process the new key, in front, and the old ones behind it. May be interrupted and "
        "run again. Example: manage.py rotate_encryption_key --dry-run"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done and change nothing.")
        parser.add_argument(
            "--new-data-key", action="store_true", help="Make a new data key and encrypt every value with it."
        )
        parser.add_argument(
            "--reencrypt",
            action="store_true",
            help="Encrypt every value with the data key in use; finishes an interrupted --new-data-key.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        report = rotate(
            ACTOR,
            self.stdout.write,
            dry_run=options["dry_run"],
            new_data_key=options["new_data_key"],
            everything=options["reencrypt"],
        )
        for line in lines(report, options["dry_run"]):
            self.stdout.write(line)
        if report.unreadable:
            listed = "\n".join(f"  {text}" for text in report.unreadable)
            raise CommandError(f"{len(report.unreadable)} cannot be opened and stay as they are:\n{listed}")


def lines(report: Report, dry_run: bool) -> list[str]:
    done = "to be " if dry_run else ""
    said = [f"new data key: {report.new_data_key}"] if report.new_data_key else []
    said.append(f"{report.rewrapped} data keys {done}rewrapped, {report.resealed} values {done}sealed anew")
    said += [f"master key {name}: needed by {count}" for name, count in sorted(report.needed.items())]
    if dry_run:
        return [*said, "dry run: nothing was written"]
    if report.removable:
        said.append(f"not needed any more, take out of ENCRYPTION_KEYS: {', '.join(report.removable)}")
    return said
