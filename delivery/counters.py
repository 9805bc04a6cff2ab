"""The latency buckets of the minute counters, and what can be read from them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

# Upper bounds in ms; the last bucket has none. Fine around the goals: 250 ms (ours), 5 s and 10 s (the scenario's).
LATENCY_BOUNDS_MS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000)


def percentile_ms(buckets: Sequence[int], share: float) -> float | None:
    """The latency below which `share` (0–1) of the counted deliveries lie, interpolated within its bucket.

    None without any; the last bucket answers with its lower bound, since it has no upper one.
    """
    total = sum(buckets)
    if not total:
        return None
    bounds = (0, *LATENCY_BOUNDS_MS)
    rank, below = share * total, 0
    for place, count in enumerate(buckets):
        if count and below + count >= rank:
            if place == len(LATENCY_BOUNDS_MS):
                return float(bounds[place])
            return bounds[place] + (bounds[place + 1] - bounds[place]) * (rank - below) / count
        below += count
    return float(bounds[-1])
