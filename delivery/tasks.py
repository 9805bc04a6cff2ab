"""Celery's side of deliveries: each task is one service call."""

from __future__ import annotations

from celery import shared_task

from delivery.hints import TASK
from delivery.worker.process import runner


@shared_task(name=TASK)
def run_dispatch(dispatch_id: int, token: int) -> None:
    """A hint: it may come late, twice or never (docs/adr/0002)."""
    runner().run(dispatch_id, token)
