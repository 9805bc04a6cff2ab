"""Counter rows as workers and the roll-up leave them."""

from __future__ import annotations

from datetime import datetime

from delivery.counters import LATENCY_BOUNDS_MS
from delivery.models import DeliveryCounter

BUCKETS = len(LATENCY_BOUNDS_MS) + 1


def minute(at: datetime, endpoint_id: int = 1, tenant_id: int = 1, shard: int = 0, **counts: int) -> DeliveryCounter:
    """A minute's row; latencies of `delivered`, each of 30 ms."""
    delivered = counts.get("delivered", 0)
    buckets = [delivered if place == 3 else 0 for place in range(BUCKETS)]
    return DeliveryCounter.objects.create(
        minute=at,
        endpoint_id=endpoint_id,
        tenant_id=tenant_id,
        shard=shard,
        latency_buckets=buckets,
        latency_ms_sum=30 * delivered,
        **counts,
    )
