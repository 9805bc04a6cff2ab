"""Celery's side of deliveries: each task is one service call."""

from __future__ import annotations

from celery import shared_task
from django.db import connection
from django.utils import timezone

from delivery import audit_watch, feed, hints
from delivery.approvals import escalation
from delivery.hints import TASK
from delivery.models import DispatchLane
from delivery.signing_keys.remind import remind
from delivery.store import Hint
from delivery.telemetry import hours
from delivery.worker import process


@shared_task(name=TASK)
def run_dispatch(dispatch_id: int, token: int) -> None:
    """A hint: it may come late, twice or never (docs/adr/0002)."""
    connection.close_if_unusable_or_obsolete()
    running = process.current.runner()
    if running is None:  # this worker is stopping: another one shall have it, and not only when a lease is over
        hints.publish([Hint(DispatchLane.RETRY, dispatch_id, token)])
    else:
        running.run(dispatch_id, token)


@shared_task(name="delivery.remind_signing_keys")
def remind_signing_keys() -> None:
    connection.close_if_unusable_or_obsolete()
    remind(timezone.now())


@shared_task(name="delivery.delete_old_feed_items")
def delete_old_feed_items() -> None:
    connection.close_if_unusable_or_obsolete()
    feed.delete_old(timezone.now())


@shared_task(name="delivery.sign_audit_heads")
def sign_audit_heads() -> None:
    connection.close_if_unusable_or_obsolete()
    audit_watch.sign_heads(timezone.now())


@shared_task(name="delivery.delete_old_escalations")
def delete_old_escalations() -> None:
    connection.close_if_unusable_or_obsolete()
    escalation.delete_old(timezone.now())


@shared_task(name="delivery.forget_minutes")
def forget_minutes() -> None:
    connection.close_if_unusable_or_obsolete()
    hours.forget_minutes(timezone.now())
