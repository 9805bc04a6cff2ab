"""Celery's side of access: each task is one service call."""

from __future__ import annotations

from celery import shared_task
from django.db import connection
from django.utils import timezone

from subscriptions.sign_in import upkeep


@shared_task(name="subscriptions.forget_old_sign_ins")
def forget_old_sign_ins() -> None:
    connection.close_if_unusable_or_obsolete()
    upkeep.forget_old_sign_ins(timezone.now())
