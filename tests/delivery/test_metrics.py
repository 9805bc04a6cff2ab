from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from delivery import metrics
from delivery.counters import LATENCY_BOUNDS_MS
from delivery.metrics import SETTLED_AFTER, DeliveryCollector, Totals
from delivery.models import DeliveryCounter, Dispatch
from eventcenter.models import IngestCounter, OutboxMessage
from tests.factories import DeliveryFactory

pytestmark = pytest.mark.django_db
NAMES = ["success", "retry", "failure", "dead", "duplicate"]


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What settled minutes came to is remembered for the life of a process; here each test is one."""
    monkeypatch.setattr(metrics, "collector", DeliveryCollector())


def count(minute: datetime, shard: int = 1, endpoint_id: int = 1, **values: Any) -> None:
    buckets = values.pop("latency_buckets", [0] * (len(LATENCY_BOUNDS_MS) + 1))
    DeliveryCounter.objects.create(
        minute=minute, shard=shard, endpoint_id=endpoint_id, tenant_id=1, latency_buckets=buckets, **values
    )


def scrape(client: Client) -> dict[str, float]:
    """Sample name (with its `le`) → value."""
    families = text_string_to_metric_families(client.get("/metrics").content.decode())
    samples = (sample for family in families for sample in family.samples)
    return {sample.name + sample.labels.get("le", ""): sample.value for sample in samples}


def test_every_counter_is_there_from_the_start(client: Client) -> None:
    found = scrape(client)
    assert {found[f"event_delivery_{name}_total"] for name in NAMES} == {0}
    assert found["event_delivery_up"] == 1


def test_counters_are_the_sums_over_processes_endpoints_and_minutes(client: Client) -> None:
    now = timezone.now().replace(second=0, microsecond=0)
    count(now, delivered=3, retried=1, failed=2, dead=1)
    count(now, shard=2, delivered=4)
    count(now - timedelta(days=3), endpoint_id=2, delivered=5, dead=1)
    IngestCounter.objects.create(minute=now, shard=1, duplicates=6)
    found = scrape(client)
    assert [found[f"event_delivery_{name}_total"] for name in NAMES] == [12, 1, 2, 2, 6]
    assert found["event_delivery_dead_24h"] == 1


def test_latency_buckets_are_cumulative_seconds(client: Client) -> None:
    buckets = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    buckets[0], buckets[3], buckets[-1] = 1, 2, 4
    now = timezone.now().replace(second=0, microsecond=0)
    count(now, latency_buckets=buckets, latency_ms_sum=1500.0)
    found = scrape(client)
    name = "event_delivery_latency_seconds"
    assert [found[f"{name}_bucket{le}"] for le in ("0.005", "0.025", "0.05", "60.0", "+Inf")] == [1, 1, 3, 3, 7]
    assert (found[f"{name}_count"], found[f"{name}_sum"]) == (7, 1.5)


def test_totals_do_not_count_twice_when_minutes_settle() -> None:
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    totals = Totals()
    count(start, delivered=1)
    assert totals.read(start).counts[0] == 1
    later = start + SETTLED_AFTER + timedelta(minutes=5)
    assert totals.read(later).counts[0] == 1
    count(later, delivered=2)
    assert totals.read(later).counts[0] == 3
    assert totals.read(later + timedelta(days=1)).counts[0] == 3


def test_two_processes_answer_the_same_whenever_they_began() -> None:
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    first = Totals()
    for place in range(4):
        now = start + timedelta(minutes=20 * place)
        count(now, delivered=place + 1)
        assert first.read(now) == Totals().read(now)


def test_gauges_show_what_waits(client: Client) -> None:
    now = timezone.now()
    waiting = DeliveryFactory(retrying=True)
    type(waiting).objects.update(due_at=now - timedelta(seconds=90))
    Dispatch.objects.create(delivery_ids=[waiting.pk], lease_until=now, not_before=now + timedelta(hours=1))
    OutboxMessage.objects.create(id=waiting.event_id, key="a|b", body=b"{}")
    found = scrape(client)
    assert found["event_delivery_oldest_due_seconds"] == pytest.approx(90, abs=30)
    assert (found["event_delivery_open_dispatches"], found["event_delivery_outbox_depth"]) == (1, 1)


def test_unclaimed_dispatch_counts_as_waiting_when_its_time_has_come(client: Client) -> None:
    now = timezone.now()
    Dispatch.objects.create(delivery_ids=[], lease_until=now, not_before=now - timedelta(seconds=600))
    assert scrape(client)["event_delivery_oldest_due_seconds"] == pytest.approx(600, abs=30)


def test_process_metrics_of_all_processes_are_read_when_a_directory_is_set(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert scrape(client)["event_delivery_success_total"] == 0


def test_collector_says_so_when_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(Totals):
        def read(self, now: datetime) -> Any:
            raise OperationalError("the server is gone")

    monkeypatch.setattr("delivery.metrics.connection.close", lambda: None)
    families = list(DeliveryCollector(Away()).collect())
    assert [(family.name, family.samples[0].value) for family in families] == [("event_delivery_up", 0)]
