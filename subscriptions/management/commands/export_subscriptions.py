from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from subscriptions.models import Tenant
from subscriptions.yaml_sync.export import export
from subscriptions.yaml_sync.schema import file_schema


class Command(BaseCommand):
    help = (
        "Write tenants, endpoints and subscriptions as a file that sync_subscriptions reads back without a change. "
        "Secrets are not written. Example: manage.py export_subscriptions --tenant acme --output acme.yaml"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", default="", help="Only this one.")
        parser.add_argument("--output", type=Path, help="The file to write; without it standard output.")
        parser.add_argument("--with-urls", action="store_true", help="Write URLs in full; they may hold tokens.")
        parser.add_argument("--schema", action="store_true", help="Write the file's JSON Schema instead.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = options["tenant"]
        if tenant and not Tenant.objects.filter(slug=tenant).exists():
            raise CommandError(f"There is no tenant {tenant!r} (--tenant).")
        if options["schema"]:
            text = json.dumps(file_schema(), indent=2, ensure_ascii=False) + "\n"
        else:
            text = export(tenant, with_urls=options["with_urls"]).text(tenant)
        if options["output"] is None:
            self.stdout.write(text, ending="")
            return
        try:
            options["output"].write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"--output: {error}") from None
