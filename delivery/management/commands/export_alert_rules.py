from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from delivery.alerting.rules_file.export import export_rules
from delivery.alerting.rules_file.schema import file_schema


class Command(BaseCommand):
    help = (
        "Write the stored alert rules as a file that sync_alert_rules reads back without a change. "
        "Example: manage.py export_alert_rules --output alert-rules.yaml"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", type=Path, help="The file to write; without it standard output.")
        parser.add_argument("--schema", action="store_true", help="Write the file's JSON Schema instead.")

    def handle(self, *args: Any, **options: Any) -> None:
        schema = options["schema"]
        text = json.dumps(file_schema(), indent=2, ensure_ascii=False) + "\n" if schema else export_rules()
        if options["output"] is None:
            self.stdout.write(text, ending="")
            return
        try:
            options["output"].write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"--output: {error}") from None
