"""What is done at a shell without the second person that it takes: the trail and the log say so."""

from __future__ import annotations

import logging

from django.db import transaction

from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.models import ReplayJob
from delivery.replays import service

logger = logging.getLogger(__name__)


def break_glass(job: ReplayJob, actor: Actor, needs: str) -> None:
    """Start a draft. `needs`: why it would have taken an approval. `job.reason` says why there was no time for one."""
    with transaction.atomic():
        service.start(job.pk, actor, approved=True)
        chain = job.tenant.slug if job.tenant else PLATFORM_CHAIN
        record(chain, actor, "approval.bypassed", f"replay:{job.pk}", {"needed": needs, "reason": job.reason})
    logger.warning("approval.bypassed", extra={"replay_id": str(job.pk), "actor": actor.name})
