from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from dataclasses import fields
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from delivery.bench import counting, fairness, tracing_cost
from delivery.bench.processes import MANAGE, Fleet
from delivery.bench.report import as_json, as_text
from delivery.bench.run import Bench, Plan
from eventcenter.bus import create_topics


class Command(BaseCommand):
    help = (
        "Measure deliveries/s, latency, CPU, losses and duplicates against a local sink, beside a bare libcurl loop. "
        "Example: manage.py bench --events 50000 --fan-out 3 --json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--events", type=int, default=60_000, help="Events of the saturation phase.")
        parser.add_argument("--fan-out", type=int, default=1, help="Subscriptions that each event matches.")
        parser.add_argument("--rate", type=float, default=500, help="Events/s of the open-loop phase; 0 leaves it out.")
        parser.add_argument("--seconds", type=float, default=20, help="Length of the open-loop phase.")
        parser.add_argument("--workers", type=int, default=2, help="Worker processes: one a core is best.")
        parser.add_argument(
            "--governed", action="store_true", help="With rate limits, caps in flight and one event in ten in order."
        )
        parser.add_argument(
            "--fairness", action="store_true", help="Instead: what a tenant's flood does to another's fresh events."
        )
        parser.add_argument(
            "--tracing-cost", action="store_true", help="Instead: what a trace costs a delivery, in µs."
        )
        parser.add_argument("--counting", action="store_true", help="Instead: what counting costs a delivery.")
        parser.add_argument("--waiting", type=int, default=100_000, help="Deliveries in the flood of --fairness.")
        parser.add_argument("--json", action="store_true", help="End with one line of JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["tracing_cost"]:
            self.stdout.write("\n".join(f"{cost:6.2f} µs  {what}" for what, cost in tracing_cost.measure().items()))
            return
        if not settings.SERVICES_CONFIGURED:
            sys.exit(run_in_own_stack(sys.argv[2:]))
        if not settings.KAFKA_EVENTS_TOPIC.startswith("bench-"):
            sys.exit(run_in_own_topic(sys.argv[2:]))
        call_command("migrate", verbosity=0)
        call_command("sync_event_types", stdout=self.stderr)
        call_command("maintain_partitions", stdout=self.stderr)
        create_topics()
        if options["counting"]:
            self.stdout.write(counting.as_text([counting.measure(endpoints) for endpoints in (1, 8, 64)]))
        elif options["fairness"]:
            self.measure_fairness(options)
        else:
            self.measure(options)

    def measure_fairness(self, options: dict[str, Any]) -> None:
        with Fleet(Path(os.environ["BENCH_LOGS"]), os.environ) as fleet:
            result = fairness.Fairness(fleet, options["waiting"], options["workers"], self.tell)()
        self.stdout.write(fairness.as_text(result))
        if options["json"]:
            self.stdout.write(json.dumps({"fairness": fairness.as_json(result)}))
        self.stdout.flush()
        if not result.is_fair:
            sys.exit(1)

    def tell(self, line: str) -> None:
        self.stderr.write(line)
        self.stderr.flush()

    def measure(self, options: dict[str, Any]) -> None:
        plan = Plan(*(options[field.name] for field in fields(Plan)))
        with Fleet(Path(os.environ["BENCH_LOGS"]), os.environ) as fleet:
            bench = Bench(fleet, plan, self.tell)
            bench.prepare()
            # First, while the topic is small: the embedded Kafka endpoint halts for each save of all it holds.
            open_loop = bench.open_loop() if plan.rate else None
            saturation = bench.saturate()
            floor = bench.floor()
        self.stdout.write(as_text(plan, saturation, open_loop, floor))
        if options["json"]:
            self.stdout.write(json.dumps(as_json(plan, saturation, open_loop, floor)))


def run_in_own_topic(arguments: list[str]) -> int:
    """The same command again, with names of its own in the services: nobody else's events are touched or counted."""
    name = f"bench-{uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="event-center-bench-") as logs:
        env = {
            "BENCH_LOGS": logs,
            **os.environ,
            "BENCH_TENANT": name,
            "KAFKA_EVENTS_TOPIC": name,
            "KAFKA_CONSUMER_GROUP": name,
            "WEBHOOK_ALLOWED_CIDRS": "127.0.0.0/8",
            "LOG_LEVEL": "WARNING",
        }
        return subprocess.run([*MANAGE, "bench", *arguments], env=env, check=False).returncode  # noqa: S603


def run_in_own_stack(arguments: list[str]) -> int:
    """The same command again, with embedded services that are made for it and removed after it."""
    with_services = [sys.executable, "-m", "config.stack", "exec", "--", *MANAGE, "bench", *arguments]
    return subprocess.run(with_services, cwd=settings.BASE_DIR, check=False).returncode  # noqa: S603
