"""What happened, in counters and heartbeats, and an evaluator that is called every 15 seconds of a controlled clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from delivery.alerting.evaluate import Evaluator
from delivery.counters import LATENCY_BOUNDS_MS
from delivery.models import Alert, AlertRule, DeliveryCounter
from eventcenter.health import ROLES
from eventcenter.models import Heartbeat
from subscriptions.models import Endpoint

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EVERY = timedelta(seconds=15)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def count(endpoint: Endpoint, when: datetime, shard: int = 1, **counts: object) -> None:
    """Adds a row of what happened in that minute."""
    minute = when.replace(second=0, microsecond=0)
    about = {"endpoint_id": endpoint.pk, "tenant_id": endpoint.tenant_id}
    DeliveryCounter.objects.create(minute=minute, shard=shard, **about, **counts)


def latencies(count_of: int, slower_than_ms: int) -> list[int]:
    """Buckets with that many deliveries in the one above the bound."""
    buckets = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    buckets[LATENCY_BOUNDS_MS.index(slower_than_ms) + 1] = count_of
    return buckets


def beat(when: datetime, roles: Sequence[str] = ROLES) -> None:
    for role in roles:
        Heartbeat.objects.update_or_create(role=role, instance="host:1", defaults={"seen_at": when})


class Clock:
    """Steps an evaluator; the processes of a deployment are seen at each step but those in `silent`."""

    def __init__(self) -> None:
        self.evaluator, self.now, self.silent = Evaluator(), NOW, set[str]()

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            beat(self.now, [role for role in ROLES if role not in self.silent])
            self.evaluator.step(self.now)
            self.now += EVERY

    def until(self, when: datetime) -> None:
        while self.now < when:
            self.step()


def rule(kind: str, **values: object) -> AlertRule:
    given = {"threshold": 0.05, "clear_below": 0.025, "window_s": 300, "severity": "critical"}
    return AlertRule.objects.create(kind=kind, **(given | values))


def alerts() -> list[tuple[str, str]]:
    """(dedup_key, state) in the order of their opening."""
    return list(Alert.objects.order_by("pk").values_list("dedup_key", "state"))
