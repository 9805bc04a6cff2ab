"""The steps of running replays. All that a step does is one transaction: a kill at any point repeats and leaves out nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F

from audit.trail import Actor
from delivery import cancelling, hints
from delivery.approvals.escalation import escalated_among
from delivery.approvals.rules import ESCALATED
from delivery.models import DispatchLane, ReplayAction, ReplayJob, ReplayState
from delivery.planning import DISPATCH_DELIVERIES
from delivery.replays import gate, moving, store
from delivery.replays.gate import COUNT_CUT
from delivery.replays.service import FINISH, audit
from delivery.replays.store import Found, Look
from delivery.store import Hint

logger = logging.getLogger(__name__)

ACTOR = Actor("system:replays")
# One transaction's worth: about 50 ms.
STEP_MOST = 1_000
# Mostly what is wanted lies close together; where it does not, a step looks further.
LOOKS_NEAR = 4
LOOKS_MOST = 5_000
# The rate is an upper bound. While so many dispatches of the retry lane wait for a worker, more would only make the
# retries of others wait behind them.
OUTSTANDING_MOST = 50
NO_LIMIT = 1_000_000
# What was not used for so long is not caught up on, so a job never goes faster than its rate for longer.
BURST_S = 1.0
# Half a microsecond of rounding must not cost a slow job its turn.
ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class Stepped:
    """What one step of one job did. `more`: its rate allows another at once."""

    queued: int = 0
    more: bool = False


def step(now: datetime) -> bool:
    """One step for every running job, the longest unstepped first. True: there is more to do at once. What cancels needs
    no room among the dispatches: it makes some."""
    room = (OUTSTANDING_MOST - store.outstanding(OUTSTANDING_MOST)) * DISPATCH_DELIVERIES
    running = ReplayJob.objects.filter(state=ReplayState.RUNNING).order_by(F("stepped_at").asc(nulls_first=True))
    more = False
    for job_id, action in running.values_list("pk", "action"):
        cancels = action == ReplayAction.CANCEL
        if room <= 0 and not cancels:
            continue
        done = step_job(job_id, NO_LIMIT if cancels else room, now)
        room -= 0 if cancels else done.queued
        more = more or done.more
    return more


def step_job(job_id: UUID, room: int, now: datetime) -> Stepped:
    """Nothing when another runner has the job in hand, or it is not running any more."""
    with transaction.atomic():
        mine = ReplayJob.objects.select_for_update(skip_locked=True, of=("self",)).select_related("tenant")
        job = mine.filter(pk=job_id, state=ReplayState.RUNNING).first()
        if job is None:
            return Stepped()
        allowed, since = allowance(job.rate_per_s, job.stepped_at, now)
        left = _left(job)
        most = min(allowed, room, STEP_MOST, left)
        if most < 1 <= left:
            return Stepped()
        seen = _look(job, most) if left else _used_up(job)
        queued, made, again = _done(job, seen.found, now)
        if again is not None:
            seen = Look(seen.found, again)
        job.stepped_at = since + timedelta(seconds=queued / job.rate_per_s)
        job.cursor = seen.reached or job.cursor
        if seen.reached is None:
            _finish(job, now)
        job.save()
    hints.publish(made)
    return Stepped(queued, more=seen.reached is not None and again is None and queued < min(allowed, room))


def allowance(rate_per_s: float, stepped_at: datetime | None, now: datetime) -> tuple[int, datetime]:
    """How many may go now, and the moment from which what is taken counts. Pure."""
    longest = timedelta(seconds=max(BURST_S, 1 / rate_per_s))
    since = max(stepped_at or now, now - longest)
    return int(rate_per_s * (now - since).total_seconds() + ROUNDING), since


def _look(job: ReplayJob, most: int) -> Look:
    criteria = gate.criteria_of(job)
    span = store.span_of(criteria, job.until)
    if job.cursor is not None:
        span = span._replace(after=max(span.after, job.cursor))
    seen = store.look(criteria, span, min(LOOKS_NEAR * most, LOOKS_MOST), most)
    if seen.found or seen.reached is None:
        return seen
    return store.look(criteria, span._replace(after=seen.reached), LOOKS_MOST, most)


def _left(job: ReplayJob) -> int:
    """How many it may still take, though more have come to fit since it was counted: of an approved one what the second
    person saw (its count, unless that was cut short), of another what needs no approval."""
    if not job.approved:
        return max(gate.limit_of(job) - job.queued, 0)
    return STEP_MOST if job.note == gate.COUNT_CUT else max(job.total - job.queued, 0)


def _used_up(job: ReplayJob) -> Look:
    job.note = f"It ended at {job.queued:,}: more have come to fit since it was counted, and they need an approval."
    return Look([], None)


def _done(job: ReplayJob, found: Sequence[Found], now: datetime) -> tuple[int, list[Hint], UUID | None]:
    """How many were done, the hints to publish, and from where to look again; None: all that was found is dealt with."""
    if job.action == ReplayAction.CANCEL:
        return _cancel(job, [item.id for item in found], now)
    return (*_take(job, found, now), None)


def _cancel(job: ReplayJob, ids: Sequence[UUID], now: datetime) -> tuple[int, list[Hint], UUID | None]:
    """What ended by itself meanwhile is skipped. What a worker has in hand at this moment is looked at again."""
    taken = cancelling.take(ids, now)
    job.queued += len(taken.cancelled)
    job.skipped += len(ids) - len(taken.cancelled) - len(taken.left)
    again = UUID(int=min(taken.left).int - 1) if taken.left else None
    return len(taken.cancelled), taken.hints, again


def _take(job: ReplayJob, found: Sequence[Found], now: datetime) -> tuple[int, list[Hint]]:
    states = moving.endpoint_states([item.endpoint_id for item in found])
    called = set() if job.approved else escalated_among([item.id for item in found])
    ready = []
    for item in found:
        refusal = moving.refusal_of(states.get(item.endpoint_id), item.has_event)
        if item.id in called:
            refusal = f"{ESCALATED} A second person must approve it."
        if refusal:
            job.note = f"The last one that was skipped: {refusal}"
        else:
            ready.append(item.id)
    queued, made = moving.requeue(ready, DispatchLane.RETRY.value, now)
    job.queued += queued
    job.skipped += len(found) - queued
    return queued, made


def _finish(job: ReplayJob, now: datetime) -> None:
    """What was counted and then did not fit any more is among the skipped: replayed, delivered or dropped by then."""
    gone = job.total - job.queued - job.skipped
    if gone > 0:
        job.skipped += gone
        job.note = f"{gone:,} had changed since they were counted. {job.note}".strip()
    elif job.note == COUNT_CUT:
        job.note = ""
    job.state, job.finished_at = FINISH.to.value, now
    audit(job, FINISH.done, ACTOR)
    logger.info(FINISH.log_event, extra={"replay_id": str(job.pk), "queued": job.queued, "skipped": job.skipped})
