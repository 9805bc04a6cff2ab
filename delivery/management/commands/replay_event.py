from __future__ import annotations

import json
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from audit.trail import Actor
from delivery.approvals.emergency import break_glass
from delivery.models import ReplayJob
from delivery.replays import naming, service
from delivery.replays.criteria import ENDED, MISSED, Criteria, CriteriaError, parse, words
from delivery.replays.preview import preview
from delivery.replays.service import RATE_DEFAULT_PER_S
from eventcenter.models import Event, Heartbeat

ACTOR = Actor("system:replay_event")
POLL_S = 0.5
SILENT_AFTER = timedelta(seconds=15)
NO_RUNNER = "No replays process was seen for 15 s; the replay waits until one runs (manage.py run_replays)."
NEEDS_APPROVAL = (
    "{needs} A second person must approve it. It is kept as a draft, {job}: ask for the approval on its page in the console,"
    " or in an emergency repeat this with --break-glass and --reason."
)
EXAMPLES = """
examples:
  manage.py replay_event 01a20a0a-619c-7007-ad58-199ffa363d39 --wait
  manage.py replay_event --tenant acme --endpoint ci-cd --since 2025-11-05T12:00:00Z --dry-run
  manage.py replay_event --tenant acme --endpoint ci-cd --gap --since 2025-11-05T12:00:00Z --rate 50 --wait
"""


class Command(BaseCommand):
    help = (
        "Replay deliveries that have ended: all of one event, or what fits the filters. A job of the replays process."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class, parser.epilog = RawDescriptionHelpFormatter, EXAMPLES
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("event", nargs="?", metavar="EVENT_ID", help="Replay all ended deliveries of this event.")
        parser.add_argument("--tenant", help="Slug.")
        parser.add_argument("--endpoint", help="Slug (with --tenant) or number.")
        parser.add_argument("--subscription", help="Slug (with --tenant) or number.")
        parser.add_argument("--status", action="append", choices=ENDED, help="Repeat for several; without: dead.")
        parser.add_argument("--type", action="append", dest="types", help="Event type, exact; repeat for several.")
        parser.add_argument("--since", help="Events accepted then or later: an ISO 8601 time with its zone.")
        parser.add_argument("--until", help="Events accepted before then.")
        parser.add_argument(
            "--gap", action="store_true", help="All that --endpoint missed: what ended dead or cancelled since --since."
        )
        parser.add_argument("--rate", type=float, default=RATE_DEFAULT_PER_S, help="Deliveries per second at most.")
        parser.add_argument("--reason", default="", help="For the audit trail.")
        parser.add_argument(
            "--break-glass",
            action="store_true",
            help="Start without the second person that it takes; with --reason, and the trail says so.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only count and show a few; nothing is kept.")
        parser.add_argument("--wait", action="store_true", help="Show progress until the replay has ended.")
        parser.add_argument("--json", action="store_true", help="End with one line of JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["break_glass"] and not options["reason"].strip():
            raise CommandError("--break-glass takes a --reason.")
        try:
            criteria = naming.owned(parse(naming.with_ids(_data(options))))
            _check_event(criteria)
            outcome = self.show(criteria) if options["dry_run"] else self.replay(criteria, options)
        except CriteriaError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(outcome))

    def show(self, criteria: Criteria) -> dict[str, object]:
        found = preview(criteria, timezone.now())
        [named] = naming.names_of([criteria])
        told = words(criteria, named)
        self.stdout.write(f"{found.total:,}{'' if found.exact else '+'} deliveries: {told}")
        for row in found.sample:
            self.stdout.write(f"  {row.pk}  {row.status:9}  {row.event.type} {row.event.subject} → {row.endpoint}")
        return {"total": found.total, "total_is_exact": found.exact, "description": told}

    def replay(self, criteria: Criteria, options: Mapping[str, Any]) -> dict[str, object]:
        job = self.started(criteria, options)
        [told] = service.describe([job])
        self.stdout.write(f"replay {job.pk}: {job.total:,}{'' if told.exact else '+'} deliveries: {told.words}")
        if not Heartbeat.objects.seen_since(timezone.now() - SILENT_AFTER).filter(role="replays").exists():
            self.stderr.write(NO_RUNNER)
        job = self.wait(job) if options["wait"] else service.job_of(job.pk)
        return {
            "id": str(job.pk),
            "state": job.state,
            "total": job.total,
            "queued": job.queued,
            "skipped": job.skipped,
            "note": job.note,
        }

    def started(self, criteria: Criteria, options: Mapping[str, Any]) -> ReplayJob:
        """Nobody is signed in at a shell, so nobody could be kept from approving what they asked for: it asks for
        nothing. What takes a second person stays a draft, or is started as an emergency (docs/adr/0019)."""
        with transaction.atomic():
            job = service.draft(criteria, ACTOR, options["rate"], options["reason"])
            needs = service.why_approval(job.pk)
            if needs and options["break_glass"]:
                break_glass(job, ACTOR, needs)
            elif not needs:
                service.start(job.pk, ACTOR)
        if needs and not options["break_glass"]:
            raise CommandError(NEEDS_APPROVAL.format(needs=needs, job=job.pk))
        return job

    def wait(self, job: ReplayJob) -> ReplayJob:
        """Until it has ended; it goes on when this command is stopped."""
        shown = -1
        while True:
            now = service.job_of(job.pk)
            if now.queued + now.skipped != shown or now.state in service.ENDS:
                shown = now.queued + now.skipped
                self.stdout.write(f"  {now.state}: {now.queued:,} replayed, {now.skipped:,} skipped of {now.total:,}")
            if now.state in service.ENDS:
                return now
            time.sleep(POLL_S)


def _data(options: Mapping[str, Any]) -> dict[str, object]:
    """The criteria's data; raises CommandError when it says nothing."""
    names = ("event", "tenant", "endpoint", "subscription", "status", "types", "since", "until")
    data = {name: options[name] for name in names if options[name]}
    if options["gap"]:
        if not options["endpoint"] or not options["since"] or options["status"] or options["event"]:
            raise CommandError("--gap takes --endpoint and --since, and neither --status nor an event.")
        data |= {"status": list(MISSED), "ended_since": data.pop("since")}
    if not data:
        raise CommandError("Say what to replay: an event's id or filters; --help has examples.")
    for name in ("endpoint", "subscription"):
        if not options["tenant"] and str(data.get(name, "")).isdecimal():
            data[name] = int(options[name])
    return data


def _check_event(criteria: Criteria) -> None:
    if criteria.event_id and not Event.objects.filter(pk=criteria.event_id).exists():
        raise CommandError(f"There is no event {criteria.event_id}, or its days of retention are over.")
