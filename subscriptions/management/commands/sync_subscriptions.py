from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.trail import Actor
from subscriptions.yaml_sync import FileSpec, Options, Plan, SpecError, SyncRefusedError, sync
from subscriptions.yaml_sync.plan import ADD, CHANGE
from subscriptions.yaml_sync.printing import plain, plan_json, plan_lines, problems_json
from subscriptions.yaml_sync.problems import Problem
from subscriptions.yaml_sync.spec import load_file, read_document
from subscriptions.yaml_sync.stored import with_stored

DEFAULT_FILE = Path(settings.BASE_DIR) / "config" / "events" / "subscriptions.yaml"
ACTOR = Actor("system:sync_subscriptions")
HAS_CHANGES = 2  # as `terraform plan -detailed-exitcode` answers


class Command(BaseCommand):
    help = (
        "Bring tenants, endpoints and subscriptions up to a file. Example: manage.py sync_subscriptions --dry-run. "
        "Exit codes: 0 done, or nothing to do; 1 the file cannot be used, or may not be applied (nothing was changed); "
        "2, with --detailed-exitcode only, something was changed or would be. docs/guides/subscriptions-file.md has the rest."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help="What should be there.")
        parser.add_argument("--dry-run", action="store_true", help="Print the plan and change nothing.")
        parser.add_argument("--tenant", default="", help="Look at this tenant's part only; leave the others alone.")
        parser.add_argument("--adopt", action="store_true", help="Take over objects that were not made by the file.")
        parser.add_argument("--overwrite-drift", action="store_true", help="Set back what was changed by hand.")
        parser.add_argument(
            "--keep-secrets",
            action="store_true",
            help="A ${VARIABLE} that is not set keeps the value that is stored in its place.",
        )
        parser.add_argument("--json", action="store_true", help="Print the plan, or the problems, as a JSON object.")
        parser.add_argument("--detailed-exitcode", action="store_true", help="Exit with 2 when there are changes.")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = Options(options["adopt"], options["overwrite_drift"], options["tenant"])
        try:
            plan = sync(self._read(options), ACTOR, dry_run=options["dry_run"], options=chosen)
        except SpecError as error:
            self._refuse_file(options, error.problems)
        except SyncRefusedError as refused:
            self._tell(refused.plan, options, applied=False)
            raise CommandError(f"{refused}; nothing was changed.") from None
        else:
            self._tell(plan, options, applied=not options["dry_run"])
            if plan.conflicts:
                raise CommandError("Without --dry-run this would be refused.")
            if plan.changes and options["detailed_exitcode"]:
                sys.exit(HAS_CHANGES)

    def _read(self, options: dict[str, Any]) -> FileSpec:
        document = load_file(options["file"])
        environ = with_stored(document.data, os.environ) if options["keep_secrets"] else os.environ
        spec = read_document(document, environ)
        if options["tenant"] and options["tenant"] not in [tenant.slug for tenant in spec.tenants]:
            raise SpecError([Problem("tenants", f"names no tenant {options['tenant']!r} (--tenant)")])
        return spec

    def _refuse_file(self, options: dict[str, Any], problems: Sequence[Problem]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(problems_json(problems)))
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise CommandError(f"{options['file']} cannot be used; nothing was changed:\n{lines}") from None

    def _tell(self, plan: Plan, options: dict[str, Any], *, applied: bool) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(plan_json(plan, applied=applied)))
            return
        colour = self.stdout.isatty() or options["force_color"]
        for line in plan_lines(plan, self._painted if colour else plain):
            self.stdout.write(line)
        if options["dry_run"]:
            self.stdout.write("dry run: nothing was written")

    def _painted(self, sign: str, line: str) -> str:
        style = {ADD: self.style.SUCCESS, CHANGE: self.style.WARNING}.get(sign, self.style.ERROR)
        return str(style(line))
