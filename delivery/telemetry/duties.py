"""What the elected telemetry process does, and how often."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError

from delivery.alerting.evaluate import Evaluator
from delivery.telemetry.catalog import Place
from delivery.telemetry.dogstatsd import Sender
from delivery.telemetry.hours import roll_up
from delivery.telemetry.of_process import ProcessMetrics
from delivery.telemetry.reading import Reading, reading
from eventcenter.models import Heartbeat

logger = logging.getLogger(__name__)

RULES_EVERY_S = 15.0
HOURS_EVERY_S = 60.0
DOGSTATSD_EVERY_S = 10.0  # as a Datadog agent flushes
HEARTBEATS_EVERY_S = 3600.0
# So long a process that went silent is still shown with its age; alert rules look at seconds.
SILENT_FOR = timedelta(days=1)

Do = Callable[[datetime], object]


@dataclass(slots=True)
class Duty:
    """`do(now)` is called every `every_s`. Times are of the monotonic clock."""

    name: str
    every_s: float
    do: Do
    due_at: float = float("-inf")
    done_at: float | None = None
    errors: int = 0

    def perform(self, now: datetime) -> None:
        """A fault costs this duty's turn and no other; a lost database is raised, since nothing goes on without it."""
        self.due_at = time.monotonic() + self.every_s
        try:
            self.do(now)
        except (OperationalError, InterfaceError):
            self.errors += 1
            raise
        except Exception:  # the loop's top: whatever one duty meets, the others go on
            self.errors += 1
            logger.exception("telemetry.duty_failed", extra={"duty": self.name})
        else:
            self.done_at = time.monotonic()


def forget_silent(now: datetime) -> int:
    """Rows of processes that are long gone; each start makes a new one."""
    return Heartbeat.objects.filter(seen_at__lt=now - SILENT_FOR).delete()[0]


def duties() -> list[Duty]:
    """Fresh ones for one process, in the order in which they are done."""
    found = [
        Duty("rules", RULES_EVERY_S, Evaluator().step),
        Duty("hours", HOURS_EVERY_S, roll_up),
        Duty("heartbeats", HEARTBEATS_EVERY_S, forget_silent),
    ]
    if settings.DD_AGENT_HOST:
        found.append(Duty("dogstatsd", DOGSTATSD_EVERY_S, Sender().send))
    return found


@dataclass(slots=True)
class Roster:
    """The duties of one process. `step` does those that are due; a process that is not elected does none."""

    duties: Sequence[Duty] = field(default_factory=duties)
    is_leader: bool = False

    def step(self, now: datetime) -> None:
        for duty in self.duties:
            if time.monotonic() >= duty.due_at:
                duty.perform(now)


class TelemetryMetrics(ProcessMetrics):
    """Of a process that may be elected."""

    place = Place.TELEMETRY

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    def readings(self) -> Iterator[Reading]:
        yield reading("event_telemetry_leader", self._roster.is_leader)
        for duty in self._roster.duties:
            yield reading("event_telemetry_duty_errors_total", duty.errors, duty.name)
            if self._roster.is_leader and duty.done_at is not None:
                yield reading("event_telemetry_duty_age_seconds", time.monotonic() - duty.done_at, duty.name)
