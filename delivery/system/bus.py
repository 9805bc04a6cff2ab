"""The consumer's lag, partition by partition, with how fast messages come and are taken."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from django.conf import settings

from delivery.system.kept import Kept, Look
from eventcenter.models import ConsumerOffset
from eventcenter.topic_ends import topic_ends

Ends = Mapping[int, tuple[int, int]]  # partition → (first offset, the next one to be written)
Sample = tuple[float, Mapping[int, tuple[int, int]]]  # when; partition → (end, next offset that we store)

WINDOW_S: Final = 30.0  # of the rates
LEAST_S: Final = 2.0  # apart, or a rate says nothing


@dataclass(frozen=True, slots=True)
class Partition:
    """`lag`: messages that no transaction of ours has stored. Rates a second, None until there are two samples."""

    number: int
    stored: int
    end: int
    lag: int
    coming: float | None
    taken: float | None
    moved_at: datetime | None

    @property
    def is_stuck(self) -> bool:
        return self.lag > 0 and self.taken == 0

    @property
    def drained_in_s(self) -> float | None:
        """None: not at this rate, or not known."""
        gain = (self.taken or 0.0) - (self.coming or 0.0)
        return self.lag / gain if self.lag and gain > 0 else None


class Lag:
    """Remembers the last half minute of samples: one for the life of a process."""

    def __init__(self) -> None:
        self._ends: Kept[Ends] = Kept(fresh_s=1.5, old_s=10.0)
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque()
        self._topic = ""

    def read(self) -> Look[list[Partition]]:
        """One query, and Kafka's answer by `Kept`."""
        topic = settings.KAFKA_EVENTS_TOPIC
        offsets = {row.partition: row for row in ConsumerOffset.objects.filter(topic=topic)}
        look = partial(topic_ends, topic, frozenset(offsets))
        found = self._ends.get((settings.KAFKA_BOOTSTRAP_SERVERS, topic), look)
        if found.value is None:
            return Look(None, found.error)
        stored = {
            each: offsets[each].next_offset if each in offsets else begin for each, (begin, _) in found.value.items()
        }
        now = {each: (end, stored[each]) for each, (_, end) in found.value.items()}
        rates = self._rates(topic, now)
        moved = {each: row.updated_at for each, row in offsets.items()}
        return Look([_partition(each, now[each], rates, moved.get(each)) for each in sorted(now)], "", found.age_s)

    def _rates(self, topic: str, now: Mapping[int, tuple[int, int]]) -> dict[int, tuple[float, float]]:
        at = time.monotonic()
        with self._lock:
            if topic != self._topic:
                self._topic, self._samples = topic, deque()
            while self._samples and at - self._samples[0][0] > WINDOW_S:
                self._samples.popleft()
            rates = rates_of(self._samples[0], (at, now)) if self._samples else {}
            if not self._samples or at - self._samples[-1][0] >= 1:
                self._samples.append((at, now))
        return rates


def rates_of(before: Sample, now: Sample) -> dict[int, tuple[float, float]]:
    """Partition → (messages that came, messages that we stored) a second; empty when the samples are too close. Pure."""
    apart_s = now[0] - before[0]
    if apart_s < LEAST_S:
        return {}
    return {
        each: ((end - before[1][each][0]) / apart_s, (stored - before[1][each][1]) / apart_s)
        for each, (end, stored) in now[1].items()
        if each in before[1]
    }


def total(partitions: Sequence[Partition]) -> tuple[int, float | None, float | None]:
    """Lag, and what comes and is taken a second, over all."""
    coming = [each.coming for each in partitions if each.coming is not None]
    taken = [each.taken for each in partitions if each.taken is not None]
    return sum(each.lag for each in partitions), sum(coming) if coming else None, sum(taken) if taken else None


def _partition(
    number: int, now: tuple[int, int], rates: Mapping[int, tuple[float, float]], moved_at: datetime | None
) -> Partition:
    end, stored = now
    coming, taken = rates.get(number, (None, None))
    return Partition(number, stored, end, max(end - stored, 0), coming, taken, moved_at)
