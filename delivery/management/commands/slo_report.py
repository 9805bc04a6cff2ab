from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from dataclasses import asdict, fields
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from delivery.objectives.reading import Span, last_days, read
from delivery.objectives.recount import Difference, differences
from delivery.objectives.report import TARGETS, TITLES, Goal, Report, Standing
from delivery.telemetry.sums import Sums
from subscriptions.models import Tenant

MOST_DAYS = 3650
COLUMNS = (*[TITLES[goal] for goal in Goal], "p50", "p99")
EXAMPLES = """
examples:
  manage.py slo_report --days 7
  manage.py slo_report --days 30 --tenant acme --json
  manage.py slo_report --days 1 --recount
"""


class Command(BaseCommand):
    help = (
        "The objectives over the last days, from stored counters: initial and cumulative success, duplicates, latency; in all "
        "and by tenant, each with its target. With --recount they are counted again from the rows; exit code 1 when that "
        "gives anything else. What the numbers mean: docs/operations/objectives.md."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class, parser.epilog = RawDescriptionHelpFormatter, EXAMPLES
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=_days, default=7, help=f"1 to {MOST_DAYS}; without: 7.")
        parser.add_argument("--tenant", help="Slug; of this tenant alone.")
        parser.add_argument("--json", action="store_true", help="One JSON object instead of the table.")
        parser.add_argument("--recount", action="store_true", help="Count again from the rows. Slow on much data.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["recount"]:
            _check_kept(options["days"])
        tenants = _tenants(options["tenant"])
        span = last_days(options["days"], timezone.now())
        found = read(span, tenants)
        different = _recounted(span, tenants) if options["recount"] else None
        lines = [_as_json(span, found, different)] if options["json"] else _as_text(span, found, different)
        for line in lines:
            self.stdout.write(line)
        if different:
            sys.exit(1)


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_DAYS:
        raise ArgumentTypeError(f"takes a whole number of days, 1 to {MOST_DAYS}, not {text!r}")
    return int(text)


def _check_kept(days: int) -> None:
    kept = min(settings.RETENTION_DAYS["delivery_delivery"], settings.RETENTION_DAYS["delivery_attempt"])
    if days >= kept:
        limits = "RETENTION_DAYS_DELIVERIES and RETENTION_DAYS_ATTEMPTS"
        raise CommandError(f"--recount takes fewer --days than rows are kept: below {kept} ({limits}).")


def _tenants(slug: str | None) -> set[int] | None:
    if slug is None:
        return None
    found = set(Tenant.objects.filter(slug=slug).values_list("pk", flat=True))
    if not found:
        raise CommandError(f"--tenant: there is no tenant {slug!r}.")
    return found


def _recounted(span: Span, tenants: set[int] | None) -> list[Difference]:
    found = differences(span.since, span.until)
    return [each for each in found if tenants is None or each.tenant_id in tenants]


def _as_text(span: Span, found: Report, different: list[Difference] | None) -> list[str]:
    standings = [found.all, *found.tenants]
    table = [["", *COLUMNS], ["target", *[TARGETS[goal] for goal in Goal], "", ""], *map(_cells, standings)]
    width = max(len(row[0]) for row in table)
    lines = [f"{span.since:%Y-%m-%d %H:%M} to {span.until:%Y-%m-%d %H:%M} UTC", ""]
    lines += [(row[0].ljust(width) + "".join(f"  {cell:<18}" for cell in row[1:])).rstrip() for row in table]
    if not found.tenants:
        lines += ["", "Nothing was delivered, tried or given up in this time. The minute that runs is not in it yet."]
    if different is not None:
        lines += ["", *_verdict(different)]
    return lines


def _cells(standing: Standing) -> list[str]:
    told = [f"{each.shown} {each.verdict}" if each.met is not None else each.shown for each in standing.objectives]
    return [standing.tenant or "all", *told, standing.p50, standing.p99]


def _verdict(different: list[Difference]) -> list[str]:
    if not different:
        return ["Counted again from the rows: the same."]
    lines = ["Counted again from the rows: NOT the same."]
    for each in different:
        for name in _unequal(each):
            counted, recounted = getattr(each.counted, name), getattr(each.recounted, name)
            lines.append(f"  tenant #{each.tenant_id} {name}: counters {counted}, rows {recounted}")
    return lines


def _unequal(each: Difference) -> list[str]:
    names = [field.name for field in fields(Sums)]
    return [name for name in names if getattr(each.counted, name) != getattr(each.recounted, name)]


def _as_json(span: Span, found: Report, different: list[Difference] | None) -> str:
    told: dict[str, object] = {
        "since": span.since.isoformat(),
        "until": span.until.isoformat(),
        "all": _told(found.all),
        "tenants": [_told(each) for each in found.tenants],
    }
    if different is not None:
        told["recount"] = {"equal": not different, "differences": [asdict(each) for each in different]}
    return json.dumps(told)


def _told(standing: Standing) -> dict[str, object]:
    objectives = {
        each.goal.value: {
            "value": each.value,
            "target": each.target,
            "met": each.met,
            "count": each.count,
            "of": each.of,
        }
        for each in standing.objectives
    }
    latency = {name: standing.latency_ms(share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    return {
        "tenant": standing.tenant or None,
        "objectives": objectives,
        "latency_ms": latency,
        "counts": asdict(standing.sums),
    }
