"""Celery's side of housekeeping: each task is one service call."""

from __future__ import annotations

from celery import shared_task

from eventcenter import partitions


@shared_task(name="eventcenter.maintain_partitions")
def maintain_partitions() -> None:
    partitions.maintain()
