from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from eventcenter.registry import SCHEMA_DIRECTORY, sync_event_types


class Command(BaseCommand):
    help = "Bring the registry of event types up to the schema files. Example: manage.py sync_event_types"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--directory", type=Path, default=SCHEMA_DIRECTORY, help="Holds <type>/<version>.json.")

    def handle(self, *args: Any, **options: Any) -> None:
        report = sync_event_types(options["directory"])
        for name in report.created:
            self.stdout.write(f"+ {name}")
        for name in report.updated:
            self.stdout.write(f"~ {name}")
        self.stdout.write(f"{len(report.created)} made, {len(report.updated)} changed")
