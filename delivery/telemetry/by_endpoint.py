"""What is said of each endpoint and of each tenant. How many series that makes is bounded by METRICS_SERIES_MOST.

Shown are the first endpoints (and tenants) by id, since those do not change places; the others are summed as "(others)".
What was deleted is in no series of its own; its deliveries stay in its tenant's and in the deployment's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from delivery.counters import percentile_ms
from delivery.models import Breaker, BreakerState
from delivery.telemetry import sums
from delivery.telemetry.deployment import LATENCY_WINDOW, refused
from delivery.telemetry.reading import Reading, counted, latency, reading
from delivery.telemetry.settled import Settled
from delivery.telemetry.sums import FOREVER, EndpointSums, Sums
from subscriptions.models import Endpoint, EndpointState, Tenant

OTHERS = "(others)"
UNKNOWN = "(unknown)"  # of a publish with a key that there is not; slugs have no brackets

Labels = tuple[str, ...]
ByEndpoint = dict[int, EndpointSums]


@dataclass(frozen=True, slots=True)
class Names:
    """Endpoint and tenant → their labels; those of whom nothing is shown are "(others)", what was deleted is missing."""

    endpoints: Mapping[int, Labels]
    tenants: Mapping[int, Labels]
    disabled: frozenset[int]  # endpoints

    def shown(self) -> Iterator[Labels]:
        return (labels for labels in dict.fromkeys(self.endpoints.values()))


def names() -> Names:
    """As they are now: a primary key's walk over two small tables."""
    most = settings.METRICS_SERIES_MOST
    tenants = dict(Tenant.objects.order_by("pk").values_list("pk", "slug"))
    shown = {key: (slug,) if place < most else (OTHERS,) for place, (key, slug) in enumerate(tenants.items())}
    endpoints: dict[int, Labels] = {}
    disabled = set()
    rows = Endpoint.objects.order_by("pk").values_list("pk", "tenant_id", "slug", "state")
    for place, (key, tenant_id, slug, state) in enumerate(rows):
        endpoints[key] = (tenants.get(tenant_id, UNKNOWN), slug) if place < most else (OTHERS, OTHERS)
        if state == EndpointState.DISABLED:
            disabled.add(key)
    return Names(endpoints, {0: (UNKNOWN,)} | shown, frozenset(disabled))


def add_by_endpoint(one: ByEndpoint, other: ByEndpoint) -> ByEndpoint:
    both = one | other
    return both | {key: plus(one[key], other[key]) for key in one.keys() & other.keys()}


def plus(one: EndpointSums, other: EndpointSums) -> EndpointSums:
    both = Sums.__add__(one, other)
    return EndpointSums(**{name: getattr(both, name) for name in Sums.__slots__}, tenant_id=one.tenant_id)


class EndpointTotals:
    """Remembers settled sums: one for the life of a process."""

    def __init__(self) -> None:
        self._sums = Settled(sums.total_by_endpoint, add_by_endpoint)
        self._refused = Settled(refused, lambda one, other: one + other)

    def read(self, now: datetime) -> Iterator[Reading]:
        """Every family of the catalog's places "endpoint" and "tenant". Raises what the database raises."""
        known = names()
        by_endpoint = self._sums.read(now)
        yield from endpoint_counts(by_endpoint, known)
        yield from latencies(by_endpoint, known)
        yield from states(known)
        yield from percentiles(now, known)
        yield from tenant_counts(by_endpoint, known)
        yield from refusals(self._refused.read(now), known)


def grouped(found: Iterable[tuple[Labels | None, Sums]], every: Iterable[Labels]) -> dict[Labels, Sums]:
    """Sums by labels; all of `every` are there, and what is none of theirs is left out."""
    by_labels = {labels: Sums() for labels in every}
    for labels, each in found:
        if labels in by_labels:
            by_labels[labels] = Sums.__add__(by_labels[labels], each)
    return by_labels


def endpoint_sums(by_endpoint: ByEndpoint, known: Names) -> dict[Labels, Sums]:
    return grouped(((known.endpoints.get(key), each) for key, each in by_endpoint.items()), known.shown())


def endpoint_counts(by_endpoint: ByEndpoint, known: Names) -> Iterator[Reading]:
    for labels, each in endpoint_sums(by_endpoint, known).items():
        yield from counted("endpoint", each, *labels)


def latencies(by_endpoint: ByEndpoint, known: Names) -> Iterator[Reading]:
    for labels, each in endpoint_sums(by_endpoint, known).items():
        yield latency("endpoint", each, *labels)


def tenant_counts(by_endpoint: ByEndpoint, known: Names) -> Iterator[Reading]:
    every = [labels for labels in known.tenants.values() if labels != (UNKNOWN,)]
    found = ((known.tenants.get(each.tenant_id), each) for each in by_endpoint.values())
    for labels, each in grouped(found, every).items():
        yield from counted("tenant", each, *labels)


def refusals(counts: Mapping[tuple[int, str], int], known: Names) -> Iterator[Reading]:
    found: Counter[Labels] = Counter()
    for (tenant_id, reason), count in counts.items():
        tenant = known.tenants.get(tenant_id)
        if tenant is not None:
            found[*tenant, reason] += count
    for labels, count in found.items():
        yield reading("event_tenant_publish_signature_errors_total", count, *labels)


def states(known: Names) -> Iterator[Reading]:
    opened = set(Breaker.objects.exclude(state=BreakerState.CLOSED).values_list("endpoint_id", flat=True))
    for name, having in (("breaker_open", opened), ("disabled", known.disabled)):
        found = dict.fromkeys(known.shown(), 0)
        for key, labels in known.endpoints.items():
            found[labels] += key in having
        for labels, count in found.items():
            yield reading(f"event_endpoint_{name}", count, *labels)


def percentiles(now: datetime, known: Names) -> Iterator[Reading]:
    recent = sums.by_endpoint(now - LATENCY_WINDOW, FOREVER)
    for labels, each in endpoint_sums(recent, known).items():
        p95_ms = percentile_ms(each.latency_buckets, 0.95)
        if p95_ms is not None:
            yield reading("event_endpoint_latency_p95_seconds", p95_ms / 1000, *labels)
