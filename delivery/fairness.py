"""Each tenant's share of the fast lane: what comes beyond it goes to a bulk lane, where it holds up nobody else. Pure."""

from __future__ import annotations

from delivery.models import DispatchLane

# A tenant's first attempts that go ahead of bulk: a burst, and so many a second after it. A worker sends some thousand a
# second, so dozens of tenants within their shares still find the lane nearly empty.
SHARE_BURST = 1_000
SHARE_PER_S = 500.0
BULK_LANES = (DispatchLane.BULK_0, DispatchLane.BULK_1, DispatchLane.BULK_2, DispatchLane.BULK_3)


class FairShare:
    """A token bucket a tenant. Kept by each consumer for itself, so a tenant spread over n consumers has n shares."""

    def __init__(self, burst: float = SHARE_BURST, per_s: float = SHARE_PER_S) -> None:
        self._burst = burst
        self._per_s = per_s
        self._buckets: dict[int, tuple[float, float]] = {}  # tenant → (tokens, as of monotonic seconds)

    def take(self, tenant_id: int, count: int, now_s: float) -> int:
        """How many of `count` deliveries are within the tenant's share."""
        tokens, at = self._buckets.get(tenant_id, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - at) * self._per_s)
        taken = min(int(tokens), count)
        self._buckets[tenant_id] = (tokens - taken, now_s)
        return taken


def bulk_lane(tenant_id: int) -> str:
    return BULK_LANES[tenant_id % len(BULK_LANES)].value
