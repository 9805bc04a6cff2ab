from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.trail import Actor
from subscriptions.yaml_sync import SpecError, parse_file, sync

DEFAULT_FILE = Path(settings.BASE_DIR) / "config" / "events" / "subscriptions.yaml"
ACTOR = Actor("system:sync_subscriptions")


class Command(BaseCommand):
    help = "Bring tenants, endpoints and subscriptions up to a file. Example: manage.py sync_subscriptions --dry-run"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help="What should be there.")
        parser.add_argument("--dry-run", action="store_true", help="Print the plan and change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            spec = parse_file(options["file"], os.environ)
        except SpecError as error:
            problems = "\n".join(f"  {problem}" for problem in error.problems)
            raise CommandError(f"{options['file']} cannot be used; nothing was changed:\n{problems}") from None
        for line in sync(spec, ACTOR, dry_run=options["dry_run"]).lines():
            self.stdout.write(line)
        if options["dry_run"]:
            self.stdout.write("dry run: nothing was written")
