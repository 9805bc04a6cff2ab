"""What a worker holds in memory while deliveries are on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from delivery.store import Loaded
from subscriptions.retry_policy import RetryPolicy


@dataclass(slots=True, eq=False)
class Batch:
    """A claimed dispatch. `remaining` falls to 0 as results are recorded; then its row is deleted.

    `lost_tokens`: of workers that had it before and went silent; what they had sent is not known.
    """

    dispatch_id: int
    token: int
    remaining: int
    lost_tokens: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """One delivery of a batch: the context that travels with its message."""

    batch: Batch
    loaded: Loaded
    policy: RetryPolicy
    ordering: str | None = None  # of its subscription, when it is ordered: what a dead one does

    @property
    def number(self) -> int:
        """Of the attempt that is being made, from 1 over all rounds."""
        return self.loaded.attempts + 1

    @property
    def replay(self) -> bool:
        return self.loaded.replays > 0
