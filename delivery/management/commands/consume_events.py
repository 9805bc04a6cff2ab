from __future__ import annotations

import logging
from collections.abc import Iterable

from django.db import DatabaseError, DataError, Error, IntegrityError, OperationalError
from django.utils import timezone
from prometheus_client.registry import Collector

from delivery.fairness import FairShare
from delivery.ingest import ingest, set_aside
from delivery.telemetry.of_process import ConsumerMetrics
from eventcenter import registry
from eventcenter.consumer import BusMessage, OffsetConflict, Place, consumer_of_events
from eventcenter.worker import WorkerCommand
from subscriptions.routing import routing

logger = logging.getLogger(__name__)

BATCH_MESSAGES = 500
FIRST_WAIT_S = 0.5
MORE_WAIT_S = (
    0.004  # a lone event is not kept waiting; under load the transaction itself is what gathers the next batch
)


class Command(WorkerCommand):
    help = "Take events from Kafka, plan their deliveries. Example: manage.py consume_events --once"
    role = "consumer"
    idle_wait_s = 0.0

    def open(self) -> None:
        self.consumer = consumer_of_events()
        self.shares = FairShare()
        self.idle_wait_s = 0.0

    def close(self) -> None:
        self.consumer.close()

    def collectors(self) -> Iterable[Collector]:
        return [ConsumerMetrics(lambda: self.consumer.positions)]

    def step(self) -> bool:
        messages = self.consumer.read(BATCH_MESSAGES, FIRST_WAIT_S, MORE_WAIT_S)
        if not messages:
            return False
        try:
            self.keep(messages)
        except OffsetConflict as error:
            logger.warning("consumer.partition_lost", extra={"places": str(error)})
            self.consumer.rewind()
        except Error:
            self.consumer.rewind()
            raise
        return True

    def keep(self, messages: list[BusMessage]) -> None:
        try:
            self.ingest(messages)
        except OperationalError:
            raise
        except DatabaseError:
            logger.exception("consumer.batch_refused", extra={"messages": len(messages)})
            self.one_by_one(messages)

    def one_by_one(self, messages: list[BusMessage]) -> None:
        """PostgreSQL refused something in the batch: find it, keep it aside, and let the others through."""
        for message in messages:
            try:
                self.ingest([message])
            except (DataError, IntegrityError) as error:
                self.consumer.committed(set_aside(message, str(error), self.consumer.commit_positions))

    def ingest(self, messages: list[BusMessage]) -> None:
        positions: dict[Place, int] = {}
        done = ingest(
            messages,
            registry.schemas.get(),
            routing.get(),
            timezone.now(),
            lambda: positions.update(self.consumer.commit_positions(messages)),
            self.shares,
        )
        self.consumer.committed(positions)
        if done.rejected:
            logger.warning("consumer.rejected", extra={"count": done.rejected})
