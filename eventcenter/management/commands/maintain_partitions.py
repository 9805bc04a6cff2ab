from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from eventcenter.partitions import DAYS_AHEAD, maintain


class Command(BaseCommand):
    help = "Make the daily partitions ahead and drop those past their retention. Example: manage.py maintain_partitions"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days-ahead", type=int, default=DAYS_AHEAD, help="How many days to make beyond today.")

    def handle(self, *args: Any, **options: Any) -> None:
        report = maintain(days_ahead=options["days_ahead"])
        self.stdout.write(
            f"made {len(report.made)}, dropped {len(report.dropped)} partitions; moved {report.moved_rows} rows out of"
            f" default partitions; deleted {report.deleted_rows} old rows there and {report.keys_deleted} idempotency keys"
        )
        if report.postponed:
            raise CommandError(f"Somebody held the table; run again later for {', '.join(report.postponed)}.")
