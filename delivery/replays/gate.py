"""Whether a replay may start by one person's hand, and what it may take when nobody else agreed (docs/adr/0019)."""

from __future__ import annotations

from django.conf import settings

from delivery.approvals import rules
from delivery.models import ReplayJob
from delivery.replays import store
from delivery.replays.criteria import parse

COUNT_CUT = "Counting was cut short: there are at least so many."


def limit_of(job: ReplayJob) -> int:
    """How many it may take without an approval: the platform's number, or its tenant's where that is lower. Nobody
    raises it by one hand."""
    own = job.tenant.approval_replay_count if job.tenant else None
    return int(settings.APPROVAL_REPLAY_COUNT if own is None else min(own, settings.APPROVAL_REPLAY_COUNT))


def why(job: ReplayJob) -> str:
    """Why a second person must agree before it starts; "" when nobody need be asked. A query or two."""
    if job.approved:
        return ""
    return rules.why_replay(
        job.total, exact=job.note != COUNT_CUT, limit=limit_of(job), takes_escalated=_takes_escalated(job)
    )


def _takes_escalated(job: ReplayJob) -> bool:
    criteria = parse(job.criteria)
    return store.takes_escalated(criteria, store.span_of(criteria, job.until))
