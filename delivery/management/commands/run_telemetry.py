from __future__ import annotations

from collections.abc import Iterable

from django.db import InterfaceError, OperationalError
from django.utils import timezone
from prometheus_client.registry import Collector

from delivery.telemetry.by_endpoint import EndpointTotals
from delivery.telemetry.catalog import Place
from delivery.telemetry.duties import Roster, TelemetryMetrics
from delivery.telemetry.election import Election
from delivery.telemetry.exposition import StoreCollector, deployment_collector
from eventcenter.worker import WorkerCommand


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
            self.roster.is_leader = self.election.won()
            if self.roster.is_leader:
                self.roster.step(timezone.now())
        except (OperationalError, InterfaceError):
            self.roster.is_leader = False
            raise
        return False

    def close(self) -> None:
        self.roster.is_leader = False
        self.election.give_back()
