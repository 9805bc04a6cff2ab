from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.export import ExportError
from audit.heads import public_keys
from eventcenter.audit_check import Verdict, check_lines, check_stored

FAULTY, UNCERTAIN = 1, 2


class Command(BaseCommand):
    help = (
        "Check the audit trail for changed, removed and reordered entries, against the signed heads too. Ends with 0: all is"
        " as it was written; 1: a fault; 2: no fault, but something could not be compared. Example: manage.py verify_audit"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--chain", help="One tenant's slug, or platform. Without: all.")
        parser.add_argument("--json", action="store_true", help="The result as one JSON object on standard output.")
        parser.add_argument("--file", type=Path, help="An export instead of the database; the bus is not asked.")
        parser.add_argument("--public-keys", action="store_true", help="Print the keys that verify heads, and end.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["public_keys"]:
            for line in _key_lines():
                self.stdout.write(line)
            return
        if options["file"] and options["chain"]:
            raise CommandError("--file takes no --chain: all of the file is checked.")
        verdict = self._verdict(options["file"], options["chain"])
        if options["chain"] and not verdict.faults and not verdict.chains[options["chain"]].entries:
            raise CommandError(f"--chain takes a chain that has entries; {options['chain']} has none.")
        self._tell(verdict, as_json=options["json"])
        if verdict.faults:
            raise CommandError(f"{len(verdict.faults)} faults.", returncode=FAULTY)
        if verdict.gaps:
            raise CommandError("No fault, but not all could be compared.", returncode=UNCERTAIN)

    def _verdict(self, file: Path | None, chain: str | None) -> Verdict:
        if file is None:
            return check_stored(chain, self.stderr.write)
        try:
            with file.open(encoding="utf-8") as lines:
                return check_lines(lines, self.stderr.write)
        except (OSError, UnicodeDecodeError, ExportError) as error:
            raise CommandError(f"--file takes an export: {error}.") from None

    def _tell(self, verdict: Verdict, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"ok": not verdict.faults} | asdict(verdict), ensure_ascii=False))
            return
        for line in [*map(str, verdict.faults), *(f"NOT COMPARED {text}" for text in verdict.gaps)]:
            self.stdout.write(line)
        if not verdict.faults:
            count = sum(chain.entries for chain in verdict.chains.values())
            self.stdout.write(f"{count:,} entries in {len(verdict.chains)} chains are as they were written.")


def _key_lines() -> list[str]:
    """kid:base64 of the 32 bytes of RFC 8032."""
    return [
        f"{key_id}:{base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()}"
        for key_id, key in public_keys(settings.ENCRYPTION_KEYS).items()
    ]
