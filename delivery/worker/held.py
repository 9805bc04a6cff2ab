"""What a worker holds in memory while deliveries are on their way."""

from __future__ import annotations

from dataclasses import dataclass

from delivery.retry import RetryPolicy
from delivery.store import Loaded


@dataclass(slots=True, eq=False)
class Batch:
    """A claimed dispatch. `remaining` falls to 0 as results are recorded; then its row is deleted."""

    dispatch_id: int
    token: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Held:
    """One delivery of a batch: the context that travels with its message."""

    batch: Batch
    loaded: Loaded
    policy: RetryPolicy

    @property
    def number(self) -> int:
        """Of the attempt that is being made, from 1 over all rounds."""
        return self.loaded.attempts + 1

    @property
    def replay(self) -> bool:
        return self.loaded.replays > 0
