"""Celery's side of deliveries: each task is one service call."""

from __future__ import annotations

from celery import shared_task
from django.db import connection

from delivery.hints import TASK
from delivery.worker.process import runner


@shared_task(name=TASK)
def run_dispatch(dispatch_id: int, token: int) -> None:
    """A hint: it may come late, twice or never (docs/adr/0002)."""
    connection.close_if_unusable_or_obsolete()
    runner().run(dispatch_id, token)
