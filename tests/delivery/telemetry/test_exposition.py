from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from delivery.counters import LATENCY_BOUNDS_MS
from delivery.models import Alert, Dispatch, Incident
from delivery.telemetry import exposition
from delivery.telemetry.catalog import Place, at
from delivery.telemetry.exposition import StoreCollector, deployment_collector
from eventcenter.models import AdapterCount, Heartbeat, IngestCounter, OutboxMessage, PublishRefusalCounter
from tests.delivery.telemetry.counted import minute
from tests.delivery.telemetry.prometheus import declared, samples
from tests.factories import AdapterFactory, DeliveryFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch, topic: str) -> None:
    """What settled minutes came to is remembered for the life of a process; here each test is one."""
    monkeypatch.setattr(exposition, "collector", deployment_collector())


def scrape(client: Client) -> dict[str, float]:
    return samples(client.get("/metrics").content.decode())


def test_metrics_has_every_family_of_the_deployment_and_no_other(client: Client) -> None:
    text = client.get("/metrics").content.decode()
    assert sorted(declared(text)) == sorted((each.name, each.type.value) for each in at(Place.DEPLOYMENT))


def test_every_counter_without_labels_is_there_from_the_start(client: Client) -> None:
    found = scrape(client)
    names = [each.name for each in at(Place.DEPLOYMENT) if each.type == "counter" and not each.labels]
    assert {found[name] for name in names} == {0}
    assert len(names) == 14
    assert found["event_delivery_up"] == 1


def test_counters_are_the_sums_over_processes_endpoints_and_minutes(client: Client) -> None:
    now = timezone.now().replace(second=0, microsecond=0)
    minute(now, attempts=9, delivered=3, retried=1, failed=2, dead=1, duplicates=5, signature_refused=2)
    minute(now, shard=2, delivered=4, deferred=8)
    minute(now - timedelta(days=3), endpoint_id=2, delivered=5, dead=1)
    IngestCounter.objects.create(minute=now, shard=1, ingested=7, duplicates=6, rejected=3, planned=11)
    found = scrape(client)
    of_delivery = {name: found[f"event_delivery_{name}_total"] for name in ("success", "retry", "failed", "dead")}
    assert of_delivery == {"success": 12, "retry": 1, "failed": 2, "dead": 2}
    assert found["event_delivery_duplicate_total"] == 5
    assert (found["event_delivery_deferred_total"], found["event_delivery_signature_refused_total"]) == (8, 2)
    ways_in = {name: found[f"event_delivery_{name}_total"] for name in ("ingested", "deduplicated", "rejected")}
    assert ways_in == {"ingested": 7, "deduplicated": 6, "rejected": 3}
    assert (found["event_delivery_planned_total"], found["event_delivery_dead_24h"]) == (11, 1)


def test_refused_proofs_are_counted_by_reason_and_not_by_tenant(client: Client) -> None:
    now = timezone.now().replace(second=0, microsecond=0)
    for tenant_id, reason, count in ((1, "mismatch", 2), (2, "mismatch", 3), (0, "unknown_key", 4)):
        PublishRefusalCounter.objects.create(minute=now, tenant_id=tenant_id, reason=reason, shard=1, count=count)
    found = scrape(client)
    assert found["event_publish_signature_errors_total mismatch"] == 5
    assert found["event_publish_signature_errors_total unknown_key"] == 4


def test_latency_buckets_are_cumulative_seconds(client: Client) -> None:
    row = minute(timezone.now().replace(second=0, microsecond=0))
    row.latency_buckets[0], row.latency_buckets[3], row.latency_buckets[-1] = 1, 2, 4
    row.latency_ms_sum = 1500.0
    row.save()
    found = scrape(client)
    name = "event_delivery_latency_seconds"
    assert [found[f"{name}_bucket {le}"] for le in ("0.005", "0.025", "0.05", "60.0", "+Inf")] == [1, 1, 3, 3, 7]
    assert (found[f"{name}_count"], found[f"{name}_sum"]) == (7, 1.5)
    assert found["event_delivery_latency_p95_seconds"] == LATENCY_BOUNDS_MS[-1] / 1000


def test_gauges_show_what_waits(client: Client, empty_queues: None) -> None:
    now = timezone.now()
    waiting = DeliveryFactory(retrying=True)
    type(waiting).objects.update(due_at=now - timedelta(seconds=90), held_reason="rate_limit")
    Dispatch.objects.create(delivery_ids=[waiting.pk], lease_until=now, not_before=now + timedelta(hours=1))
    OutboxMessage.objects.create(id=waiting.event_id, key="a|b", body=b"{}")
    found = scrape(client)
    assert found["event_delivery_oldest_due_seconds"] == pytest.approx(90, abs=30)
    assert (found["event_delivery_open_dispatches"], found["event_delivery_outbox_depth"]) == (1, 1)
    assert (found["event_delivery_in_flight"], found["event_delivery_held rate_limit"]) == (0, 1)
    assert (found["event_delivery_consumer_lag"], found["event_delivery_queue_depth retry"]) == (0, 0)
    assert found["event_delivery_breakers closed"] == 1


def test_alerts_incidents_and_processes_are_counted(client: Client) -> None:
    now = timezone.now()
    incident = Incident.objects.create(cause="endpoint:1", severity="critical", summary="x")
    Incident.objects.create(cause="endpoint:1", severity="critical", summary="x", resolved_at=now)
    Alert.objects.create(kind="latency", dedup_key="a", severity="critical", incident=incident, summary="x")
    Alert.objects.create(kind="latency", dedup_key="b", state="pending", summary="x")
    for instance, seconds in (("a:1", 1), ("a:2", 20)):
        Heartbeat.objects.create(role="sweep", instance=instance, seen_at=now - timedelta(seconds=seconds))
    found = scrape(client)
    assert (found["event_delivery_alerts critical"], found["event_delivery_alerts warning"]) == (1, 0)
    assert found["event_delivery_incidents"] == 1
    assert (found["event_delivery_processes sweep"], found["event_delivery_processes relay"]) == (1, 0)
    assert found["event_delivery_heartbeat_age_seconds sweep"] == pytest.approx(1, abs=5)
    assert "event_delivery_heartbeat_age_seconds relay" not in found


def test_messages_of_forges_are_those_of_a_day_by_kind_of_forge(client: Client) -> None:
    now = timezone.now()
    one, other = AdapterFactory(kind="github"), AdapterFactory(kind="github")
    for adapter, hours, count in ((one, 1, 2), (other, 2, 3), (one, 25, 50)):
        AdapterCount.objects.create(
            adapter=adapter, tenant=adapter.tenant, minute=now - timedelta(hours=hours), outcome="accepted", count=count
        )
    assert scrape(client)["event_adapter_messages_24h github accepted"] == 5


def test_scrapes_close_to_each_other_read_the_database_once(client: Client) -> None:
    scrape(client)
    minute(timezone.now().replace(second=0, microsecond=0), delivered=1)
    assert scrape(client)["event_delivery_success_total"] == 0


def test_process_metrics_of_all_processes_are_read_when_a_directory_is_set(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert scrape(client)["event_delivery_success_total"] == 0


def test_collector_says_so_when_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(now: object) -> list[object]:
        raise OperationalError("the server is gone")

    monkeypatch.setattr("delivery.telemetry.exposition.connection.close", lambda: None)
    families = list(StoreCollector([Place.DEPLOYMENT], away).collect())  # type: ignore[arg-type]
    assert [(family.name, family.samples[0].value) for family in families] == [("event_delivery_up", 0)]
