from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from pytest_django import DjangoAssertNumQueries, Settings

from delivery.models import Breaker
from delivery.telemetry.by_endpoint import EndpointTotals
from delivery.telemetry.catalog import Place, at
from delivery.telemetry.exposition import StoreCollector
from eventcenter.models import PublishRefusalCounter
from subscriptions.models import Endpoint
from tests.delivery.telemetry.counted import minute
from tests.delivery.telemetry.prometheus import declared, samples
from tests.factories import EndpointFactory, TenantFactory

pytestmark = pytest.mark.django_db


def text() -> str:
    registry = CollectorRegistry()
    registry.register(StoreCollector([Place.ENDPOINT, Place.TENANT], EndpointTotals().read))
    return generate_latest(registry).decode()


def count(endpoint: Endpoint, **counts: int) -> None:
    now = timezone.now().replace(second=0, microsecond=0)
    minute(now, endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id, **counts)


def endpoint(tenant: str, slug: str, **more: object) -> Endpoint:
    return EndpointFactory(tenant=TenantFactory(slug=tenant), slug=slug, **more)


def test_every_family_of_endpoints_and_tenants_is_there_and_no_other() -> None:
    expected = at(Place.ENDPOINT, Place.TENANT)
    assert sorted(declared(text())) == sorted((each.name, each.type.value) for each in expected)


def test_each_endpoint_and_tenant_has_its_sums() -> None:
    ci, ops = endpoint("acme", "ci"), endpoint("globex", "ops")
    other = EndpointFactory(tenant=ci.tenant, slug="other")
    count(ci, attempts=5, failed=2, delivered=3)
    count(ops, attempts=7, delivered=7)
    count(other, attempts=1, dead=1)
    found = samples(text())
    assert found["event_endpoint_attempts_total ci acme"] == 5
    assert found["event_endpoint_failed_total ci acme"] == 2
    assert found["event_endpoint_success_total ops globex"] == 7
    assert found["event_endpoint_latency_seconds_count ci acme"] == 3
    assert found["event_endpoint_latency_p95_seconds ops globex"] == pytest.approx(0.05, abs=0.025)
    assert "event_endpoint_latency_p95_seconds other acme" not in found
    assert (found["event_tenant_attempts_total acme"], found["event_tenant_dead_total acme"]) == (6, 1)
    assert found["event_tenant_attempts_total globex"] == 7


def test_an_endpoint_is_there_with_zeros_before_its_first_delivery() -> None:
    endpoint("acme", "ci")
    assert samples(text())["event_endpoint_dead_total ci acme"] == 0


def test_the_rest_is_summed_when_there_are_more_endpoints_than_series(settings: Settings) -> None:
    settings.METRICS_SERIES_MOST = 1
    for place, slug in enumerate(("first", "second", "third")):
        made = endpoint(f"tenant-{slug}", slug, state="disabled" if place else "enabled")
        count(made, attempts=10**place)
        Breaker.objects.create(endpoint_id=made.pk, tenant_id=made.tenant_id, state="half_open")
    found = samples(text())
    of_attempts = {key: value for key, value in found.items() if "attempts_total" in key and "first_att" not in key}
    assert of_attempts == {
        "event_endpoint_attempts_total first tenant-first": 1,
        "event_endpoint_attempts_total (others) (others)": 110,
        "event_tenant_attempts_total tenant-first": 1,
        "event_tenant_attempts_total (others)": 110,
    }
    assert found["event_endpoint_disabled first tenant-first"] == 0
    assert found["event_endpoint_disabled (others) (others)"] == 2
    assert found["event_endpoint_breaker_open (others) (others)"] == 2


def test_counts_of_a_deleted_endpoint_stay_in_its_tenants() -> None:
    gone, left = endpoint("acme", "ci"), endpoint("globex", "ops")
    count(gone, dead=4)
    Endpoint.objects.filter(pk=gone.pk).update(archived_at=timezone.now())
    EndpointFactory(tenant=gone.tenant, slug="ci")
    found = samples(text())
    assert found["event_endpoint_dead_total ci acme"] == 0
    assert found["event_tenant_dead_total acme"] == 4
    assert found[f"event_endpoint_dead_total ops {left.tenant.slug}"] == 0


def test_refused_proofs_are_told_by_tenant_and_reason() -> None:
    acme = TenantFactory(slug="acme")
    at = timezone.now().replace(second=0, microsecond=0) - timedelta(days=1)
    for tenant_id, reason, count in ((acme.pk, "mismatch", 2), (0, "unknown_key", 4)):
        PublishRefusalCounter.objects.create(minute=at, tenant_id=tenant_id, reason=reason, shard=1, count=count)
    found = samples(text())
    assert found["event_tenant_publish_signature_errors_total mismatch acme"] == 2
    assert found["event_tenant_publish_signature_errors_total unknown_key (unknown)"] == 4


def test_reading_costs_the_same_however_many_endpoints_there_are(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(5):
        count(EndpointFactory(), attempts=1)
    totals = EndpointTotals()
    with django_assert_num_queries(8):
        list(totals.read(timezone.now()))
