"""What a process tells about itself. Read at a scrape from what it keeps anyway: sending and ingesting pay nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from delivery.telemetry.catalog import Place, at
from delivery.telemetry.exposition import families
from delivery.telemetry.reading import Reading, reading


class Sends(Protocol):
    """Of delivery.transports.base.Transport."""

    @property
    def waiting(self) -> int: ...
    @property
    def in_flight(self) -> int: ...


class Records(Protocol):
    """Of delivery.worker.recorder.Recorder."""

    @property
    def unrecorded(self) -> int: ...
    @property
    def open_batches(self) -> int: ...


class ProcessMetrics(Collector):
    """The families of one place, and what `readings()` says at a scrape; it must not wait for anything."""

    place: Place

    def readings(self) -> Iterator[Reading]:
        raise NotImplementedError

    def collect(self) -> Iterator[Family]:
        yield from families(at(self.place), self.readings())


class WorkerMetrics(ProcessMetrics):
    """Of a worker process, by channel."""

    place = Place.WORKER

    def __init__(self, transports: Mapping[str, Sends], recorder: Records) -> None:
        self._transports = transports
        self._recorder = recorder

    def readings(self) -> Iterator[Reading]:
        for channel, transport in self._transports.items():
            yield reading("event_worker_in_flight", transport.in_flight, channel)
            yield reading("event_worker_waiting", max(transport.waiting, 0), channel)
        yield reading("event_worker_unrecorded", self._recorder.unrecorded)
        yield reading("event_worker_open_dispatches", self._recorder.open_batches)


class ConsumerMetrics(ProcessMetrics):
    """Of a consumer process; `positions` gives (topic, partition) → next offset."""

    place = Place.CONSUMER

    def __init__(self, positions: Callable[[], Mapping[tuple[str, int], int]]) -> None:
        self._positions = positions

    def readings(self) -> Iterator[Reading]:
        found = self._positions()
        yield reading("event_consumer_partitions", len(found))
        for (_, partition), offset in sorted(found.items()):
            yield reading("event_consumer_position", offset, str(partition))
