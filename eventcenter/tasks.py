"""Celery's side of housekeeping: each task is one service call."""

from __future__ import annotations

from celery import shared_task
from django.db import connection

from eventcenter import partitions


@shared_task(name="eventcenter.maintain_partitions")
def maintain_partitions() -> None:
    connection.close_if_unusable_or_obsolete()
    partitions.maintain()
