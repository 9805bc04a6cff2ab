from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from delivery.bench.processes import MANAGE, Fleet
from delivery.chaos.faults import FAULTS, SHORT_FAULTS
from delivery.chaos.load import Load
from delivery.chaos.missing import explain_doubled, explain_lost
from delivery.chaos.report import Result, as_json, as_text
from delivery.chaos.run import DELIVERIES_PER_EVENT, Chaos, Plan
from delivery.chaos.services import ServiceControl
from delivery.chaos.stage import Stage
from eventcenter.bus import create_topics

DELIVERIES, ROUNDS, RATE = 50_000, 20, 600.0
SHORT_DELIVERIES, SHORT_ROUNDS, SHORT_RATE = 4_000, len(SHORT_FAULTS), 300.0
# What differs from the defaults, so that an outage of seconds does not end in a wait of minutes.
PROCESS_ENV = {
    "WEBHOOK_ALLOWED_CIDRS": "127.0.0.1/32",
    "BREAKER_FIRST_WAIT_S": "1",
    "BREAKER_MAX_WAIT_S": "5",
    "LOG_LEVEL": "WARNING",
}


class Command(BaseCommand):
    help = (
        "Let processes, services and receivers fail at random under load, on services of its own, and count what is lost, "
        "doubled or late. Exit code 1 when a bar is broken. Example: manage.py chaos --rounds 20 --json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--deliveries", type=int, help=f"At least so many ({DELIVERIES}).")
        parser.add_argument("--rounds", type=int, help=f"Faults, one after the other ({ROUNDS}).")
        parser.add_argument("--rate", type=float, help=f"Deliveries/s ({RATE:g}).")
        parser.add_argument("--seed", type=int, help="Deals the same faults in the same order again.")
        parser.add_argument("--only", default="", help="Only faults whose name has this text in it.")
        parser.add_argument("--short", action="store_true", help="Each family of faults once, within about a minute.")
        parser.add_argument("--json", action="store_true", help="End with one line of JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        control = ServiceControl.inherited()
        if control is None:
            sys.exit(run_in_own_stack(sys.argv[2:]))
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        logs = Path(tempfile.mkdtemp(prefix="event-center-chaos-"))
        result = self.play(control, make_plan(options), logs)
        self.stdout.write(as_text(result))
        if options["json"]:
            self.stdout.write(json.dumps(as_json(result)))
        self.stdout.flush()
        if result.broken():
            self.stderr.write(f"the processes' logs are in {logs}")
            sys.exit(1)
        shutil.rmtree(logs)

    def play(self, control: ServiceControl, plan: Plan, logs: Path) -> Result:
        self.tell(f"seed {plan.seed}; logs in {logs}")
        prepare_services()
        with Fleet(logs, {**os.environ, **PROCESS_ENV}) as fleet:
            stage = Stage(fleet, control, plan.seed)
            load = Load(stage.make_tenants(), stage.port, plan.rate / DELIVERIES_PER_EVENT)
            connection.close()  # PostgreSQL will go away under it
            stage.start_processes()
            result = Chaos(stage, load, plan, self.tell)()
            if result.lost:
                self.tell(explain_lost(load))
            if result.doubled:
                self.tell(explain_doubled(result.doubled))
        return result

    def tell(self, line: str) -> None:
        self.stderr.write(line)
        self.stderr.flush()


def make_plan(options: dict[str, Any]) -> Plan:
    short = options["short"]
    faults = [fault for fault in (SHORT_FAULTS if short else FAULTS) if options["only"] in fault.name]
    if not faults:
        raise CommandError(f"--only: no fault has {options['only']!r} in its name")
    return Plan(
        deliveries=options["deliveries"] or (SHORT_DELIVERIES if short else DELIVERIES),
        rounds=options["rounds"] or (SHORT_ROUNDS if short else ROUNDS),
        rate=options["rate"] or (SHORT_RATE if short else RATE),
        seed=options["seed"] if options["seed"] is not None else secrets.randbelow(1_000_000),
        faults=faults,
    )


def prepare_services() -> None:
    call_command("migrate", verbosity=0)
    call_command("sync_event_types", stdout=sys.stderr)
    call_command("maintain_partitions", stdout=sys.stderr)
    create_topics()


def run_in_own_stack(arguments: list[str]) -> int:
    """The same command again, with embedded services that it may stop and crash, and that are removed after it."""
    with_services = [sys.executable, "-m", "config.stack", "exec", "--", *MANAGE, "chaos", *arguments]
    return subprocess.run(with_services, cwd=settings.BASE_DIR, check=False).returncode  # noqa: S603
