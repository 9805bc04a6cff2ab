from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from delivery.alerting.export import SHIPPED_RUNBOOK
from delivery.alerting.prometheus_rules import rules_file


class Command(BaseCommand):
    help = (
        "Print our alert rules, with their defaults, as a rules file of Prometheus. Example: manage.py export_prometheus_rules"
        " --runbook https://events.example.com/runbook > config/observability/prometheus/rules.yml"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--runbook", default=SHIPPED_RUNBOOK, help=f"The runbook's URL ({SHIPPED_RUNBOOK}).")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(rules_file(options["runbook"].rstrip("/")), ending="")
