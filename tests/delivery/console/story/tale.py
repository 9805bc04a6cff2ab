"""Facts of a delivery without a database: for tables of what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from audit.models import AuditEntry
from delivery.console.story.facts import Facts, Tried
from delivery.models import Attempt, Delivery
from delivery.states import DeliveryStatus
from eventcenter.ids import id_floor
from eventcenter.models import Event
from subscriptions.models import Endpoint, Subscription, Tenant
from subscriptions.retry_policy import DEFAULT_POLICY

START = datetime(2025, 11, 5, 12, 0, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """So long after the acceptance."""
    return START + timedelta(seconds=seconds)


def tried(at_s: float, number: int = 1, took_ms: float = 100.0, **values: Any) -> Tried:
    """A refusal by 503, unless said otherwise."""
    refused = {"outcome": "throttled", "status_code": 503, "error_kind": "http_status", "error": "answered 503"}
    row = Attempt(number=number, started_at=after(at_s), duration_ms=took_ms, response_headers=[], **refused | values)
    return Tried(row, b"", 0)


def entry(at_s: float, action: str, target: str, actor: str = "user:eva") -> AuditEntry:
    return AuditEntry(at=after(at_s), action=action, target=target, actor=actor, details={})


def tale(now_s: float, attempts: Sequence[Tried] = (), endpoint: dict[str, Any] | None = None, **values: Any) -> Facts:
    """Accepted at START, planned 10 ms later. `values`: the delivery's, and those of Facts."""
    facts = {name: values.pop(name) for name in ("breaker", "entries", "line", "policy", "alert") if name in values}
    tenant = Tenant(pk=1, slug="acme")
    sink = Endpoint(pk=7, tenant=tenant, slug="ci-cd", **endpoint or {})
    event = Event(
        pk=id_floor(START),
        tenant=tenant,
        type="plugin.release.published",
        source="/pipelines/release",
        subject="payments",
        producer_id="release-1",
        time=START,
        kafka_partition=3,
        kafka_offset=42,
        ingested_at=after(0.01),
    )
    defaults = {
        "attempts": len(attempts),
        "tries": len(attempts),
        "round_at": after(0.01),
        "status": DeliveryStatus.RETRYING if attempts else DeliveryStatus.PENDING,
    }
    delivery = Delivery(
        pk=id_floor(START),
        tenant=tenant,
        event=event,
        endpoint=sink,
        subscription=Subscription(pk=9, tenant=tenant, endpoint=sink, slug="releases", types=["plugin.*"]),
        **defaults | values,
    )
    if attempts:
        last = attempts[-1].row
        delivery.last_status_code, delivery.last_error_kind = last.status_code, last.error_kind
    return Facts(delivery, attempts, facts.pop("policy", DEFAULT_POLICY), "standard", after(now_s), **facts)
