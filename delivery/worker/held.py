"""What a worker holds in memory while deliveries are on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from delivery.store import Loaded
from subscriptions.retry_policy import RetryPolicy

# Nothing new is sent while so many outcomes wait: a killed worker's unrecorded deliveries are sent twice.
UNRECORDED_MOST = 128


class Lost(NamedTuple):
    """A worker that had claimed a dispatch, and under which token."""

    token: int
    worker: str


@dataclass(slots=True, eq=False)
class Batch:
    """A claimed dispatch. `remaining` falls to 0 as results are recorded; then its row is deleted.

    `lost`: who had it before and went silent; what they had sent is not known.
    """

    dispatch_id: int
    token: int
    remaining: int
    lost: Sequence[Lost] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """One delivery of a batch: the context that travels with its message."""

    batch: Batch
    loaded: Loaded
    policy: RetryPolicy
    ordering: str | None = None  # of its subscription, when it is ordered: what a dead one does
    span_id: int = 0  # the attempt's, where its trace is recorded (delivery.spans)
    channel: str = ""  # with a span_id

    @property
    def number(self) -> int:
        """Of the attempt that is being made, from 1 over all rounds."""
        return self.loaded.attempts + 1

    @property
    def replay(self) -> bool:
        return self.loaded.replays > 0
