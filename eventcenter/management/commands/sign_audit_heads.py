from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from eventcenter.audit_heads import publish


class Command(BaseCommand):
    help = (
        "Sign where the audit chains stand and write it to the bus, as beat does. Example: manage.py sign_audit_heads"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--again", action="store_true", help="Send every head once more, to a topic that was made anew."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        done = publish(timezone.now(), again=options["again"])
        for fault in done.faults:
            self.stdout.write(f"not signed: {fault}")
        self.stdout.write(f"{len(done.signed)} signed, {done.sent} sent, {done.waiting} wait for Kafka")
        if done.faults or done.waiting:
            raise CommandError("Not every chain has its head on the bus.")
