from __future__ import annotations

from collections.abc import Iterable

from django.db import InterfaceError, OperationalError
from prometheus_client.registry import Collector

from delivery.telemetry.by_endpoint import EndpointTotals
from delivery.telemetry.catalog import Place
from delivery.telemetry.duties import Roster, TelemetryMetrics
from delivery.telemetry.election import Election
from delivery.telemetry.exposition import StoreCollector, deployment_collector
from eventcenter.store import rows
from eventcenter.worker import WorkerCommand

# The only clock of duties: heartbeats, counters and breakers have their times from it, and this machine's may be off.
CLOCK = "SELECT clock_timestamp()"


class Command(WorkerCommand):
    help = (
        "Evaluate the alert rules, keep hours, send DogStatsD, and serve the metrics of endpoints and tenants on"
        " METRICS_PORT. Several may run: one of them is elected. Example: manage.py run_telemetry"
    )
    role = "telemetry"

    def open(self) -> None:
        self.election = Election(self.role)
        self.roster = Roster()

    def collectors(self) -> Iterable[Collector]:
        by_endpoint = StoreCollector([Place.ENDPOINT, Place.TENANT], EndpointTotals().read)
        return [deployment_collector(), by_endpoint, TelemetryMetrics(self.roster)]

    def step(self) -> bool:
        try:
            self.roster.elect(self.election.won())
            if not self.roster.is_leader:
                return False
            ((now,),) = rows(CLOCK, [])
            return self.roster.step(now)
        except (OperationalError, InterfaceError):
            self.roster.lose()
            raise

    def close(self) -> None:
        self.roster.elect(False)
        self.election.give_back()
