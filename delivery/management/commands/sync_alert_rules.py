from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.trail import Actor
from delivery.alerting.rules_file import read_document, sync
from subscriptions.yaml_sync import Plan, SpecError, SyncRefusedError
from subscriptions.yaml_sync.plan import ADD, CHANGE
from subscriptions.yaml_sync.printing import plain, plan_lines
from subscriptions.yaml_sync.spec import load_file

DEFAULT_FILE = Path(settings.BASE_DIR) / "config" / "events" / "alert-rules.yaml"
ACTOR = Actor("system:sync_alert_rules")
HAS_CHANGES = 2  # as `terraform plan -detailed-exitcode` answers


class Command(BaseCommand):
    help = (
        "Bring alert rules up to a file. Example: manage.py sync_alert_rules --dry-run. "
        "Exit codes: 0 done, or nothing to do; 1 the file cannot be used, or may not be applied (nothing was changed); "
        "2, with --detailed-exitcode only, something was changed or would be. docs/operations/alerting.md has the rest."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", default=DEFAULT_FILE, help="What should be there.")
        parser.add_argument("--dry-run", action="store_true", help="Print the plan and change nothing.")
        parser.add_argument("--adopt", action="store_true", help="Take over rules that were made or changed by hand.")
        parser.add_argument("--detailed-exitcode", action="store_true", help="Exit with 2 when there are changes.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            spec = read_document(load_file(options["file"]))
            plan = sync(spec, ACTOR, dry_run=options["dry_run"], adopt=options["adopt"])
        except SpecError as error:
            lines = "\n".join(f"  {problem}" for problem in error.problems)
            raise CommandError(f"{options['file']} cannot be used; nothing was changed:\n{lines}") from None
        except SyncRefusedError as refused:
            self._tell(refused.plan, options)
            raise CommandError(f"{refused}; nothing was changed.") from None
        self._tell(plan, options)
        if plan.conflicts:
            raise CommandError("Without --dry-run this would be refused.")
        if plan.changes and options["detailed_exitcode"]:
            sys.exit(HAS_CHANGES)

    def _tell(self, plan: Plan, options: dict[str, Any]) -> None:
        colour = self.stdout.isatty() or options["force_color"]
        for line in plan_lines(plan, self._painted if colour else plain):
            self.stdout.write(line)
        if options["dry_run"]:
            self.stdout.write("dry run: nothing was written")

    def _painted(self, sign: str, line: str) -> str:
        style = {ADD: self.style.SUCCESS, CHANGE: self.style.WARNING}.get(sign, self.style.ERROR)
        return str(style(line))
