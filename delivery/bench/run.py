"""The benchmark's phases: saturation, open loop, and the floor of the same machine, each counted at the sink."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import requests  # noqa: TID251 - asks our own sink for its count
from confluent_kafka import Producer
from django.conf import settings

from delivery.bench.events import ORDERED_TAG, PLAIN_TAG, SENT_HEADER, release_events
from delivery.bench.floor import measure
from delivery.bench.processes import Fleet
from delivery.models import Dispatch
from eventcenter.bus import KafkaHeaders, kafka_config
from eventcenter.crypto import seal
from eventcenter.envelope import partition_key, to_kafka
from eventcenter.standardwebhooks import generate_secret
from subscriptions.models import Endpoint, EndpointSecret, Ordering, Subscription, Tenant

# Nothing arrived for so long: what is missing by then is counted as lost.
GIVE_UP_S = 45.0
POLL_S = 0.25
WARM_UP_EVENTS = 500
FLOOR_REQUESTS = 30_000
# Beyond anything that one machine reaches.
GOVERNED_RATE = 90_000.0
GOVERNED_IN_FLIGHT = 400

Tell = Callable[[str], None]
Prepared = tuple[str, KafkaHeaders, bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    events: int
    fan_out: int
    rate: float
    seconds: float
    workers: int
    governed: bool = (
        False  # limits that do not bind, and an ordered share: what governance costs when it has nothing to do
    )


@dataclass(frozen=True, slots=True)
class Phase:
    """What one phase came to. Times in seconds, latency from publish to arrival at the sink in ms."""

    accepted: int
    expected: int
    received: int
    lost: int
    duplicates: int
    wall_s: float
    latency_ms: dict[str, float]
    cpu_us_per_delivery: dict[str, float]


class Bench:
    """Runs against the configured services, with a tenant, a topic and a consumer group of its own."""

    def __init__(self, fleet: Fleet, plan: Plan, tell: Tell) -> None:
        self.fleet = fleet
        self.plan = plan
        self.tell = tell
        self.tenant = fleet.env["BENCH_TENANT"]
        self.sink = ""

    def prepare(self) -> None:
        self.sink = self.fleet.start_sink()
        make = make_governed_tenant if self.plan.governed else make_tenant
        make(self.tenant, f"{self.sink}/hook", self.plan.fan_out)
        self.fleet.start_consumer()
        self.fleet.start_sweep()
        for number in range(self.plan.workers):
            self.fleet.start_worker(f"worker{number + 1}")
        self.tell("warming up")
        self.phase(WARM_UP_EVENTS, rate=0)

    def saturate(self) -> Phase:
        self.tell(f"saturation: {self.plan.events} events, fan-out {self.plan.fan_out}")
        return self.phase(self.plan.events, rate=0)

    def open_loop(self) -> Phase:
        self.tell(f"open loop: {self.plan.rate:g} events/s for {self.plan.seconds:g} s")
        return self.phase(int(self.plan.rate * self.plan.seconds), self.plan.rate)

    def floor(self) -> dict[str, float]:
        self.tell("floor: a bare libcurl-multi POST loop to the same sink")
        return measure(f"{self.sink}/floor", FLOOR_REQUESTS)

    def phase(self, events: int, rate: float) -> Phase:
        requests.post(f"{self.sink}/reset", timeout=5)
        prepared = prepare(self.tenant, events)
        before, started = self.fleet.cpu_s(), time.time()
        accepted = publish(prepared, rate)
        expected = accepted * self.plan.fan_out
        stats = self.wait_for(expected)
        self.wait_until_recorded()
        wall, after = time.time() - started, self.fleet.cpu_s()
        unique = max(int(stats["unique"]), 1)
        return Phase(
            accepted=accepted,
            expected=expected,
            received=int(stats["received"]),
            lost=expected - int(stats["unique"]),
            duplicates=int(stats["duplicates"]),
            wall_s=wall,
            latency_ms=stats["latency_ms"],
            cpu_us_per_delivery={name: round((after[name] - before.get(name, 0)) / unique * 1e6, 1) for name in after},
        )

    def wait_for(self, expected: int) -> dict[str, Any]:
        """Until the sink has `expected` distinct deliveries, or none came for GIVE_UP_S."""
        seen, moved_at, told_at = -1, time.monotonic(), time.monotonic()
        while True:
            unique = requests.get(f"{self.sink}/count", timeout=30).json()["unique"]
            if unique != seen:
                seen, moved_at = unique, time.monotonic()
            if seen >= expected or time.monotonic() - moved_at > GIVE_UP_S:
                stats: dict[str, Any] = requests.get(f"{self.sink}/stats", timeout=30).json()
                return stats
            if time.monotonic() - told_at > 2:
                self.tell(f"  {seen} of {expected} received")
                told_at = time.monotonic()
            time.sleep(POLL_S)

    def wait_until_recorded(self) -> None:
        """Until no dispatch is open: every result is committed."""
        ends_at = time.monotonic() + GIVE_UP_S
        while Dispatch.objects.exists() and time.monotonic() < ends_at:
            time.sleep(POLL_S / 4)


def make_tenant(slug: str, url: str, fan_out: int) -> None:
    """A tenant with `fan_out` endpoints at `url`/0 …, each with one subscription to every release."""
    tenant = Tenant.objects.create(slug=slug, name="Benchmark")
    for number in range(fan_out):
        subscribe(make_endpoint(tenant, f"sink-{number}", f"{url}/{number}"))


def make_governed_tenant(slug: str, url: str, fan_out: int) -> None:
    """The same with rate limits and caps far above what is sent; what has the tag ORDERED_TAG is delivered in order."""
    tenant = Tenant.objects.create(slug=slug, name="Benchmark, governed", rate_limit=GOVERNED_RATE)
    for number in range(fan_out):
        limits = {"rate_limit": GOVERNED_RATE, "max_in_flight": GOVERNED_IN_FLIGHT}
        subscribe(make_endpoint(tenant, f"sink-{number}", f"{url}/{number}", **limits), tags=[PLAIN_TAG])
        ordered = make_endpoint(tenant, f"ordered-{number}", f"{url}/ordered/{number}", **limits)
        subscribe(ordered, tags=[ORDERED_TAG], ordering=Ordering.BLOCK)


def make_endpoint(tenant: Tenant, slug: str, url: str, **values: object) -> Endpoint:
    endpoint = Endpoint.objects.create(tenant=tenant, slug=slug, url=url, **values)
    sealed = seal(generate_secret(), EndpointSecret.SECRET_PURPOSE)
    EndpointSecret.objects.create(endpoint=endpoint, sealed_secret=sealed)
    return endpoint


def subscribe(endpoint: Endpoint, **values: object) -> None:
    """To every release of the endpoint's tenant, unless `values` narrow it."""
    Subscription.objects.create(
        tenant=endpoint.tenant, slug=endpoint.slug, endpoint=endpoint, types=["plugin.release.published"], **values
    )


def publish(prepared: Sequence[Prepared], rate: float) -> int:
    """Write events to the topic as a pipeline would; `rate` 0: as fast as Kafka takes them. Returns how many it took."""
    limits = {"linger.ms": 2, "compression.type": "zstd", "queue.buffering.max.messages": 200_000}
    producer = Producer(kafka_config(acks="all", **limits))
    taken = 0

    def note(error: object, _: object) -> None:
        nonlocal taken
        taken += error is None

    started = time.monotonic()
    for number, (key, headers, value) in enumerate(prepared):
        sent = (SENT_HEADER, str(time.time_ns() // 1000).encode())
        while True:
            try:
                producer.produce(
                    settings.KAFKA_EVENTS_TOPIC, value=value, key=key, headers=[*headers, sent], on_delivery=note
                )
                break
            except BufferError:
                producer.poll(0.1)
        _serve_until(producer, started + (number + 1) / rate if rate else 0.0)
    producer.flush(60)
    return taken


def _serve_until(producer: Producer, at: float) -> None:
    """A poll ends with the first report that it serves, not when its time is over."""
    producer.poll(0)
    while (left_s := at - time.monotonic()) > 0:
        producer.poll(left_s)


def prepare(tenant: str, events: int) -> list[Prepared]:
    """(key, headers, value) of new events; the moment of sending is added when they are sent."""
    made = itertools.islice(release_events(tenant), events)
    return [(partition_key(event), *to_kafka(event)) for event in made]
