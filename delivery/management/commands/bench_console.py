from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from delivery.bench.pages import PageFailed, measure, percentile
from delivery.bench.processes import MANAGE

P95_MOST_MS = 100.0


class Command(BaseCommand):
    help = (
        "Measure the server time of the console's pages on a seeded database of its own; ends with one line of JSON. "
        "Example: manage.py bench_console --deliveries 5000000 --loads 100"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--deliveries", type=int, default=5_000_000, help="How many are seeded first.")
        parser.add_argument("--loads", type=int, default=100, help="Requests for each page.")
        parser.add_argument("--here", action="store_true", help="Measure on DATABASE_URL as it is, without seeding.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SERVICES_CONFIGURED:
            sys.exit(run_in_own_stack(sys.argv[2:]))
        if not options["here"]:
            call_command("migrate", verbosity=0)
            call_command("sync_event_types", stdout=self.stderr)
            call_command("seed_deliveries", deliveries=options["deliveries"], stdout=self.stderr, stderr=self.stderr)
        try:
            taken = measure(options["loads"], self.tell)
        except PageFailed as error:
            raise CommandError(f"{error}; is the database seeded?") from None
        p95_ms = {name: round(percentile(values, 0.95), 1) for name, values in taken.items()}
        slow = [name for name, value in p95_ms.items() if value > P95_MOST_MS]
        self.stdout.write(f"over {P95_MOST_MS:g} ms: {', '.join(slow) or 'none'}")
        self.stdout.write(json.dumps({"p95_ms": p95_ms}))

    def tell(self, line: str) -> None:
        self.stderr.write(line)
        self.stderr.flush()


def run_in_own_stack(arguments: list[str]) -> int:
    """The same command again, with embedded services that are made for it and removed after it."""
    command = [*MANAGE, "bench_console", *arguments]
    with_services = [sys.executable, "-m", "config.stack", "exec", "--", *command]
    return subprocess.run(with_services, cwd=settings.BASE_DIR, check=False).returncode  # noqa: S603
