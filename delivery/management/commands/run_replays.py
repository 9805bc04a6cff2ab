from __future__ import annotations

from django.utils import timezone

from delivery.replays.run import step
from eventcenter.worker import WorkerCommand


class Command(WorkerCommand):
    help = (
        "Replay what started replay jobs ask for, each at its rate; several may run. "
        "With --once: one step for each. Example: manage.py run_replays"
    )
    role = "replays"
    idle_wait_s = 0.25

    def step(self) -> bool:
        return step(timezone.now())
