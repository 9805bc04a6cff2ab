"""What a job is made of, and whether it may start by one person's hand (docs/adr/0019)."""

from __future__ import annotations

from django.conf import settings

from delivery.approvals import rules
from delivery.models import ReplayAction, ReplayJob
from delivery.replays import store
from delivery.replays.criteria import ENDED, OPEN, Criteria, parse
from eventcenter.access.roles import Permission

COUNT_CUT = "Counting was cut short: there are at least so many."
# The states from which each can begin, and what whoever starts, pauses or ends such a job must be allowed.
ABLE: dict[str, tuple[str, ...]] = {ReplayAction.REPLAY: ENDED, ReplayAction.CANCEL: OPEN}
PERMISSIONS: dict[str, Permission] = {
    ReplayAction.REPLAY: Permission.REPLAY,
    ReplayAction.CANCEL: Permission.OPERATE,
}


def criteria_of(job: ReplayJob) -> Criteria:
    return parse(job.criteria, ABLE[job.action])


def permission_of(job: ReplayJob) -> Permission:
    return PERMISSIONS[job.action]


def limit_of(job: ReplayJob) -> int:
    """How many it may take without an approval: the platform's number, or its tenant's where that is lower. Nobody
    raises it by one hand."""
    own = job.tenant.approval_replay_count if job.tenant else None
    return int(settings.APPROVAL_REPLAY_COUNT if own is None else min(own, settings.APPROVAL_REPLAY_COUNT))


def why(job: ReplayJob) -> str:
    """Why a second person must agree before it starts; "" when nobody need be asked. A query or two."""
    if job.approved:
        return ""
    return rules.why_many(
        job.total, exact=job.note != COUNT_CUT, limit=limit_of(job), takes_escalated=_takes_escalated(job)
    )


def _takes_escalated(job: ReplayJob) -> bool:
    if job.action == ReplayAction.CANCEL:
        return False  # what died is over, and cannot be cancelled
    criteria = criteria_of(job)
    return store.takes_escalated(criteria, store.span_of(criteria, job.until))
