from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from subscriptions.demo import DemoError, load_demo


class Command(BaseCommand):
    help = (
        "Make the demo's console user and publish key, and print how to use them. Run sync_subscriptions before it. "
        "DEMO_CONSOLE_PASSWORD keeps a password over several runs. Example: manage.py load_demo --json"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="One line, a JSON object; it holds secrets.")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("load_demo makes a superuser and prints secrets; it does not run in production.")
        password, receiver = os.environ.get("DEMO_CONSOLE_PASSWORD", ""), os.environ.get("DEMO_RECEIVER_URL", "")
        try:
            demo = asdict(load_demo(password, receiver))
        except DemoError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(demo))
            return
        for name, value in demo.items():
            self.stdout.write(f"{name}: {value}")
