from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from delivery.alerting.datadog_monitors import monitors_file
from delivery.alerting.export import SHIPPED_RUNBOOK


class Command(BaseCommand):
    help = (
        "Print our alert rules, with their defaults, as monitors of Datadog. Example: manage.py export_datadog_monitors"
        " --runbook https://events.example.com/runbook > config/observability/datadog/monitors.json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--runbook", default=SHIPPED_RUNBOOK, help=f"The runbook's URL ({SHIPPED_RUNBOOK}).")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(monitors_file(options["runbook"].rstrip("/")), ending="")
