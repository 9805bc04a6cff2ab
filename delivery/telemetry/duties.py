"""What the elected telemetry process does, and how often."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError

from delivery.alerting import evaluate
from delivery.telemetry.catalog import Place
from delivery.telemetry.dogstatsd import Sender
from delivery.telemetry.hours import roll_up
from delivery.telemetry.of_process import ProcessMetrics
from delivery.telemetry.reading import Reading, reading
from eventcenter import store
from eventcenter.models import Heartbeat
from eventcenter.worker import instance_name

logger = logging.getLogger(__name__)

RULES_EVERY_S = evaluate.EVERY.total_seconds()
BEAT_EVERY_S = 5.0
HOURS_EVERY_S = 60.0
DOGSTATSD_EVERY_S = 10.0  # as a Datadog agent flushes
HEARTBEATS_EVERY_S = 3600.0
# So long a process that went silent is still shown with its age; alert rules look at seconds.
SILENT_FOR = timedelta(days=1)
EVALUATOR = "evaluator"  # the role under which heartbeats say that rules are evaluated

Do = Callable[[datetime], object]


@dataclass(slots=True)
class Duty:
    """`do(now)` is called every `every_s`. Times are of the monotonic clock.

    `until_none`: it does a bounded piece and returns how much that was; it is due again at once until that is nothing.
    """

    name: str
    every_s: float
    do: Do
    until_none: bool = False
    due_at: float = float("-inf")
    done_at: float | None = None
    errors: int = 0

    def perform(self, now: datetime) -> bool:
        """Whether it is due again at once. A fault costs this duty's turn and no other; a lost database is raised, since
        nothing goes on without it."""
        self.due_at = time.monotonic() + self.every_s
        try:
            has_more = bool(self.do(now)) and self.until_none
        except (OperationalError, InterfaceError):
            self.errors += 1
            raise
        except Exception:  # the loop's top: whatever one duty meets, the others go on
            self.errors += 1
            logger.exception("telemetry.duty_failed", extra={"duty": self.name})
            return False
        self.done_at = time.monotonic()
        if has_more:
            self.due_at = self.done_at
        return has_more

    def say_evaluated(self, now: datetime) -> None:
        """Of the rules' duty: a sign of life under a role of its own, while its passes succeed."""
        if self.done_at is not None and time.monotonic() - self.done_at < 2 * self.every_s:
            store.beat(EVALUATOR, instance_name())


def forget_silent(now: datetime) -> int:
    """Rows of processes that are long gone; each start makes a new one."""
    return Heartbeat.objects.filter(seen_at__lt=now - SILENT_FOR).delete()[0]


def duties() -> list[Duty]:
    """Fresh ones for one process, in the order in which they are done: nothing comes before the rules."""
    rules = Duty("rules", RULES_EVERY_S, evaluate.Evaluator().step)
    found = [
        rules,
        Duty(EVALUATOR, BEAT_EVERY_S, rules.say_evaluated),
        Duty("hours", HOURS_EVERY_S, roll_up, until_none=True),
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
    elected_at: float | None = None  # of the monotonic clock; None: another process is elected

    def elect(self, is_leader: bool) -> None:
        """What the election said. One that comes back after a lost connection counts on from its first election: a duty
        that loses the connection each time is as old as it is."""
        self.is_leader = is_leader
        if not is_leader:
            self.elected_at = None
        elif self.elected_at is None:
            self.elected_at = time.monotonic()

    def lose(self) -> None:
        """The connection is lost, and with it the lock; who has it is not known."""
        self.is_leader = False

    def step(self, now: datetime) -> bool:
        """Whether something is due again at once."""
        return any([duty.perform(now) for duty in self.duties if time.monotonic() >= duty.due_at])

    def age_s(self, duty: Duty) -> float:
        """Of the elected process: since the duty last succeeded here, or since its election, whichever is later."""
        return time.monotonic() - max(at for at in (self.elected_at, duty.done_at, float("-inf")) if at is not None)


class TelemetryMetrics(ProcessMetrics):
    """Of a process that may be elected."""

    place = Place.TELEMETRY

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    def readings(self) -> Iterator[Reading]:
        yield reading("event_telemetry_leader", self._roster.is_leader)
        for duty in self._roster.duties:
            yield reading("event_telemetry_duty_errors_total", duty.errors, duty.name)
            if self._roster.is_leader:
                yield reading("event_telemetry_duty_age_seconds", self._roster.age_s(duty), duty.name)
