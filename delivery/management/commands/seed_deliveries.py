from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from delivery.bench.seed import AlreadySeeded, Volume, seed


class Command(BaseCommand):
    help = (
        "Fill a database with made-up events, deliveries, attempts and counters, to measure the console on. "
        "Example: manage.py seed_deliveries --deliveries 5000000 --days 7"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--deliveries", type=int, default=1_000_000, help="How many; one tenant gets half of them.")
        parser.add_argument("--tenants", type=int, default=20, help="How many tenants, named seed-000 and so on.")
        parser.add_argument("--days", type=int, default=7, help="Over how many days, up to now.")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("ENVIRONMENT is production: made-up deliveries do not belong there.")
        for name in ("deliveries", "tenants", "days"):
            if options[name] < 1:
                raise CommandError(f"--{name} takes a whole number of at least 1.")
        volume = Volume(options["deliveries"], options["tenants"], options["days"], timezone.now())
        try:
            made = seed(volume, self.tell)
        except AlreadySeeded as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{made:,} deliveries of {volume.tenants} tenants over {volume.days} days")

    def tell(self, line: str) -> None:
        self.stderr.write(line)
        self.stderr.flush()
