"""The Celery application: queues, and what beat runs when."""

from __future__ import annotations

import logging
import os
import sys

from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_init, celeryd_init, setup_logging

from eventcenter import log_context

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("event-center")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Celery closes the database connection around every task unless told otherwise: 8 ms of PostgreSQL's CPU for a new one,
# four times what the task itself takes. Tasks look after a broken connection themselves (delivery.tasks).
app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize // 2
app.autodiscover_tasks()
app.conf.beat_schedule = {
    # Days are made a week ahead, so that an hourly try may fail for a week before anything falls into a default partition.
    "maintain-partitions": {"task": "eventcenter.maintain_partitions", "schedule": crontab(minute="7")},
    "remind-signing-keys": {"task": "delivery.remind_signing_keys", "schedule": crontab(minute="27")},
    "delete-old-feed-items": {"task": "delivery.delete_old_feed_items", "schedule": crontab(minute="17")},
    "forget-old-sign-ins": {"task": "subscriptions.forget_old_sign_ins", "schedule": crontab(minute="27")},
    "sign-audit-heads": {"task": "delivery.sign_audit_heads", "schedule": 60.0},
    "forget-minutes": {"task": "delivery.forget_minutes", "schedule": crontab(minute="37")},
    "delete-old-escalations": {"task": "delivery.delete_old_escalations", "schedule": crontab(minute="19")},
}


@setup_logging.connect
def _keep_our_logging(**_: object) -> None:
    """With a receiver of this signal Celery leaves the handlers and levels of the settings as they are."""


@celeryd_init.connect
def _name_worker(sender: str, **_: object) -> None:
    """`sender` is the node's name, such as retry@host. Warnings, too, are lines of the log from here on."""
    logging.captureWarnings(True)
    log_context.set_role(sender.partition("@")[0])


@beat_init.connect
def _name_beat(**_: object) -> None:
    log_context.set_role("beat")
