from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from delivery.validate.checks import DEADLINE_S, Finding
from delivery.validate.probe import is_good, validate
from eventcenter.standardwebhooks import SecretError, SigningKey, decode_signing_key
from subscriptions.models import ContentMode

FROM_STDIN = "-"


class Command(BaseCommand):
    help = (
        "Send signed sample events to a receiver and tell what it does right and wrong. Exit code 1 when it misses a "
        "requirement. Example: manage.py validate_webhook https://ci.example/hooks --secret whsec_..."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url")
        parser.add_argument(
            "--secret",
            required=True,
            help=f"The receiver's whsec_ secret, or the whsk_ key of its public key; {FROM_STDIN} reads a line.",
        )
        parser.add_argument("--mode", choices=ContentMode.values, default=ContentMode.STRUCTURED.value)
        parser.add_argument("--timeout", type=float, default=DEADLINE_S, help=f"Deadline, seconds ({DEADLINE_S:g}).")
        parser.add_argument("--json", action="store_true", help="End with one line of JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = validate(
            options["url"], read_secret(options["secret"]), ContentMode(options["mode"]), options["timeout"]
        )
        for finding in findings:
            self.stdout.write(as_line(finding))
        good = is_good(findings)
        self.stdout.write("The receiver does all it must." if good else "The receiver does not do all it must.")
        if options["json"]:
            found = [asdict(finding) for finding in findings]
            self.stdout.write(json.dumps({"ok": good, "mode": options["mode"], "findings": found}))
        if not good:
            sys.exit(1)


def read_secret(text: str) -> SigningKey:
    try:
        return decode_signing_key(sys.stdin.readline().strip() if text == FROM_STDIN else text)
    except SecretError as error:
        raise CommandError(f"--secret: {error}") from None


def as_line(finding: Finding) -> str:
    line = f"{finding.level:<4}  {finding.must}: {finding.detail}"
    return f"{line}\n      → {finding.fix}" if finding.fix else line
