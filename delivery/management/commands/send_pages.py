from __future__ import annotations

from django.utils import timezone

from delivery.alerting.pager import Pager
from eventcenter.worker import WorkerCommand


class Command(WorkerCommand):
    help = (
        "Call the people whom alerts call: PagerDuty and e-mail; several may run. "
        "With --once: try what is due now, then end. Example: manage.py send_pages"
    )
    role = "pager"
    idle_wait_s = 0.25

    def open(self) -> None:
        self._pager = Pager()

    def step(self) -> bool:
        return self._pager.step(timezone.now())

    def close(self) -> None:
        self._pager.close(timezone.now())
