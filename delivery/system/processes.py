"""Which processes there are, by their heartbeats, and which should be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from delivery.telemetry.deployment import EXPECTED
from eventcenter.health import SILENT_AFTER
from eventcenter.models import Heartbeat

DUTIES: Final = {
    "relay": "sweeps the outbox to Kafka",
    "consumer": "reads Kafka, stores events, plans deliveries",
    "worker": "sends deliveries",
    "sweep": "finds what is due, or was lost",
    "replays": "works off replays",
    "telemetry": "counts, makes metrics",
    "evaluator": "judges alert rules",
    "pager": "calls people",
}
REMEMBERED: Final = timedelta(hours=1)  # a process that went silent is shown for so long
SHOWN_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Process:
    instance: str
    seen_at: datetime
    since: datetime
    is_alive: bool


@dataclass(frozen=True, slots=True)
class Role:
    """`is_missing`: it should run, and no process of it gives a sign of life."""

    name: str
    duty: str
    processes: tuple[Process, ...]

    @property
    def alive(self) -> int:
        return sum(process.is_alive for process in self.processes)

    @property
    def is_missing(self) -> bool:
        return self.name in EXPECTED and not self.alive

    @property
    def shown(self) -> list[Process]:
        """Those alive; of a role without any the last one."""
        return [process for process in self.processes if process.is_alive] or list(self.processes[:1])

    @property
    def ended(self) -> int:
        return len(self.processes) - len(self.shown)

    @property
    def tone(self) -> str:
        return "good" if self.alive else "bad" if self.is_missing else "mute"

    @property
    def words(self) -> str:
        if self.alive:
            return f"{self.alive} alive"
        return "Silent" if self.processes else "Never seen"


def read(now: datetime) -> list[Role]:
    """Every role that should run, and those that do besides. One query."""
    return by_role(Heartbeat.objects.order_by("-seen_at")[:SHOWN_MOST], now)


def by_role(beats: Iterable[Heartbeat], now: datetime) -> list[Role]:
    """Pure. The last one of a role is kept however long ago it was, if there is no other."""
    found: dict[str, list[Process]] = {role: [] for role in EXPECTED}
    for beat in sorted(beats, key=lambda beat: beat.seen_at, reverse=True):
        processes = found.setdefault(beat.role, [])
        if not processes or now - beat.seen_at < REMEMBERED:
            is_alive = now - beat.seen_at <= SILENT_AFTER
            processes.append(Process(beat.instance, beat.seen_at, beat.since, is_alive))
    return [Role(role, DUTIES.get(role, ""), tuple(processes)) for role, processes in found.items()]
