"""The Celery application: queues, and what beat runs when."""

from __future__ import annotations

import os

from celery import Celery
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("event-center")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    # Days are made a week ahead, so that an hourly try may fail for a week before anything falls into a default partition.
    "maintain-partitions": {"task": "eventcenter.maintain_partitions", "schedule": crontab(minute="7")},
}
