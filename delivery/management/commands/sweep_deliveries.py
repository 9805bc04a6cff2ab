from __future__ import annotations

from django.utils import timezone

from delivery.sweep import Sweeper
from eventcenter.worker import WorkerCommand


class Command(WorkerCommand):
    help = "Publish again what was lost, and what is due. Example: manage.py sweep_deliveries --once"
    role = "sweep"
    idle_wait_s = 0.25  # also the pace at which held deliveries are let go

    def open(self) -> None:
        self.sweeper = Sweeper()

    def step(self) -> bool:
        return self.sweeper.sweep(timezone.now()).more
