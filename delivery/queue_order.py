"""In which order a worker looks into its Celery queues. Named in CELERY_BROKER_TRANSPORT_OPTIONS; kombu makes one a channel."""

from __future__ import annotations

from collections.abc import Iterable

from delivery.models import DispatchLane

QUEUE_PREFIX = "deliveries."
FIRST = frozenset({QUEUE_PREFIX + DispatchLane.FAST, QUEUE_PREFIX + DispatchLane.SLOW})
BULK = frozenset(
    QUEUE_PREFIX + lane for lane in (DispatchLane.BULK_0, DispatchLane.BULK_1, DispatchLane.BULK_2, DispatchLane.BULK_3)
)
# So often the later classes are looked at first: under a load of first attempts that never ends they still get a share.
LATER_CLASSES_EVERY = 8


class FirstAttemptsFirst:
    """First attempts, then bulk, then retries and the rest; in turn within each class. The shape is kombu's (FairCycle's
    kin in kombu.utils.scheduling): told which queues there are, asked in which order to look, told where something was."""

    def __init__(self, queues: Iterable[str] = ()) -> None:
        self._queues = list(queues)
        self._looks = 0

    def update(self, queues: Iterable[str]) -> None:
        self._queues = list(queues)

    def rotate(self, last_used: str) -> str:
        if last_used in self._queues:
            self._queues.remove(last_used)
            self._queues.append(last_used)
        return last_used

    def consume(self, n: int) -> list[str]:
        self._looks += 1
        classes: tuple[list[str], list[str], list[str]] = ([], [], [])
        for queue in self._queues[:n]:
            classes[0 if queue in FIRST else 1 if queue in BULK else 2].append(queue)
        first, bulk, rest = classes
        return [*rest, *bulk, *first] if self._looks % LATER_CLASSES_EVERY == 0 else [*first, *bulk, *rest]
