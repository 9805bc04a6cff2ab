"""Replay jobs as people and programs handle them: drafted, started, paused, resumed, cancelled. Each move is audited.

A job that cancels deliveries is one of them, too: its trail says "bulk_cancel" where a replay's says "replay".
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from audit.details import recordable
from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.models import ReplayAction, ReplayJob, ReplayState
from delivery.replays import gate, naming
from delivery.replays.criteria import Criteria, CriteriaError, words
from delivery.replays.gate import COUNT_CUT, criteria_of
from delivery.replays.preview import counted
from eventcenter.ids import new_id

logger = logging.getLogger(__name__)

RATE_DEFAULT_PER_S = 100.0
# Nothing is sent: it is as many as PostgreSQL takes beside everything else.
CANCEL_RATE_DEFAULT_PER_S = 1_000.0
RATES_DEFAULT_PER_S: dict[str, float] = {
    ReplayAction.REPLAY: RATE_DEFAULT_PER_S,
    ReplayAction.CANCEL: CANCEL_RATE_DEFAULT_PER_S,
}
RATE_LEAST_PER_S = 0.1
# What two worker cores send in a second with everything else at rest (README, "Develop"); more would only wait.
RATE_MOST_PER_S = 5_000.0
REASON_LENGTH_MOST = 500


@dataclass(frozen=True, slots=True)
class Move:
    """One action on a job: how the trail says that it was done, from where it may be made, and where it leads."""

    done: str
    sources: tuple[ReplayState, ...]
    to: ReplayState

    @property
    def log_event(self) -> str:
        return f"replay.{self.done}"


MOVES = {
    "start": Move("started", (ReplayState.DRAFT,), ReplayState.RUNNING),
    "pause": Move("paused", (ReplayState.RUNNING,), ReplayState.PAUSED),
    "resume": Move("resumed", (ReplayState.PAUSED,), ReplayState.RUNNING),
    "cancel": Move("cancelled", (ReplayState.DRAFT, ReplayState.RUNNING, ReplayState.PAUSED), ReplayState.CANCELLED),
}
FINISH = Move("finished", (ReplayState.RUNNING,), ReplayState.DONE)
TRAIL_NOUNS: dict[str, str] = {ReplayAction.REPLAY: "replay", ReplayAction.CANCEL: "bulk_cancel"}
ENDS = (ReplayState.CANCELLED, ReplayState.DONE)


def actions_of(state: str) -> list[str]:
    """What may be done to a job in that state. Pure."""
    return [name for name, move in MOVES.items() if state in move.sources]


def draft(
    criteria: Criteria,
    actor: Actor,
    rate_per_s: float = RATE_DEFAULT_PER_S,
    reason: str = "",
    now: datetime | None = None,
    job_id: UUID | None = None,
    action: ReplayAction = ReplayAction.REPLAY,
) -> ReplayJob:
    """Count and keep; nothing is done until `start`. Deliveries that are planned after `now` are never part of it.

    Raises CriteriaError where the criteria name what does not exist or does not belong together, or the rate is out of
    bounds.
    """
    moment, owned = now or timezone.now(), naming.owned(criteria)
    _check(rate_per_s, reason)
    total, exact = counted(owned, moment)
    job = ReplayJob(
        id=job_id or new_id(),
        action=action,
        tenant_id=owned.tenant_id,
        criteria=owned.as_data(),
        rate_per_s=rate_per_s,
        total=total,
        until=moment,
        actor=actor.name,
        reason=reason,
        note="" if exact else COUNT_CUT,
    )
    with transaction.atomic():
        job.save(force_insert=True)
        audit(job, "drafted", actor)
    return job


def _check(rate_per_s: float, reason: str) -> None:
    if not RATE_LEAST_PER_S <= rate_per_s <= RATE_MOST_PER_S:  # NaN fails it, too
        raise CriteriaError([("rate_per_s", f"must be from {RATE_LEAST_PER_S:g} to {RATE_MOST_PER_S:g}")])
    if len(reason) > REASON_LENGTH_MOST or "\0" in reason:
        raise CriteriaError([("reason", f"must be text of at most {REASON_LENGTH_MOST} characters")])


def start(job_id: UUID, actor: Actor, now: datetime | None = None, *, approved: bool = False) -> str:
    """ "" when it was moved, else why not; so do the three below. `approved`: a second person agreed (docs/adr/0019)."""
    return act(job_id, "start", actor, now, approved=approved)


def pause(job_id: UUID, actor: Actor, now: datetime | None = None) -> str:
    return act(job_id, "pause", actor, now)


def resume(job_id: UUID, actor: Actor, now: datetime | None = None) -> str:
    return act(job_id, "resume", actor, now)


def cancel(job_id: UUID, actor: Actor, now: datetime | None = None) -> str:
    """What was replayed or cancelled by then stays so."""
    return act(job_id, "cancel", actor, now)


def act(job_id: UUID, name: str, actor: Actor, now: datetime | None = None, *, approved: bool = False) -> str:
    """One of MOVES. A step of the job that is under way ends first; of two people who press at once, one wins."""
    move, moment = MOVES[name], now or timezone.now()
    with transaction.atomic():
        needs = "" if approved or name != "start" else why_approval(job_id)
        if needs:
            return f"{needs} A second person must approve it."
        if not _moved(job_id, name, moment, approved):
            return _refusal(job_id, name)
        audit(job_of(job_id), move.done, actor)
    logger.info(move.log_event, extra={"replay_id": str(job_id), "actor": actor.name})
    return ""


def why_approval(job_id: UUID) -> str:
    """Why a draft takes a second person to start; "" when it does not, or is no draft."""
    job = ReplayJob.objects.select_related("tenant").filter(pk=job_id, state=ReplayState.DRAFT).first()
    return gate.why(job) if job else ""


def _moved(job_id: UUID, name: str, now: datetime, approved: bool) -> bool:
    move = MOVES[name]
    changes: dict[str, object] = {"state": move.to}
    if name == "start":
        changes |= {"started_at": now, "approved": approved}
    if move.to is ReplayState.RUNNING:
        changes["stepped_at"] = now  # the time at rest earns no rate
    if move.to in ENDS:
        changes["finished_at"] = now
    return bool(ReplayJob.objects.filter(pk=job_id, state__in=move.sources).update(**changes))


def _refusal(job_id: UUID, name: str) -> str:
    state = ReplayJob.objects.filter(pk=job_id).values_list("state", flat=True).first()
    if state is None:
        return "There is no such replay."
    able = " or ".join(source.label.lower() for source in MOVES[name].sources)
    return f"It is {ReplayState(state).label.lower()}; only what is {able} can be told to {name}."


def job_of(job_id: UUID) -> ReplayJob:
    """Raises ReplayJob.DoesNotExist."""
    return ReplayJob.objects.select_related("tenant").get(pk=job_id)


def audit(job: ReplayJob, done: str, actor: Actor) -> None:
    """In its tenant's chain; in the platform's when it goes across tenants."""
    details: dict[str, object] = {
        "criteria": recordable(_told(job.criteria)),
        "rate_per_s": recordable(job.rate_per_s),
        "total": job.total,
        "queued": job.queued,
        "skipped": job.skipped,
        "reason": job.reason,
    }
    record(
        job.tenant.slug if job.tenant else PLATFORM_CHAIN,
        actor,
        f"{TRAIL_NOUNS[job.action]}.{done}",
        f"replay:{job.pk}",
        details,
    )


IDS_TOLD = 100


def _told(criteria: dict[str, object]) -> dict[str, object]:
    """An entry of the trail is for people: of a long selection it has the first ids, and how many there are."""
    ids = criteria.get("ids")
    if not isinstance(ids, list) or len(ids) <= IDS_TOLD:
        return criteria
    return criteria | {"ids": ids[:IDS_TOLD], "ids_count": len(ids)}


@dataclass(frozen=True, slots=True)
class Described:
    """A job with what people call what it takes."""

    job: ReplayJob
    criteria: Criteria
    words: str

    @property
    def done_count(self) -> int:
        return self.job.queued + self.job.skipped

    @property
    def exact(self) -> bool:
        return self.job.note != COUNT_CUT

    @property
    def percent(self) -> int:
        """0–100; 100 only at the end."""
        if self.job.state == ReplayState.DONE:
            return 100
        return min(99, 100 * self.done_count // self.job.total) if self.job.total else 0

    @property
    def left_s(self) -> float:
        """At the job's rate; it may take longer."""
        return max(self.job.total - self.done_count, 0) / self.job.rate_per_s

    @property
    def actions(self) -> list[str]:
        return actions_of(self.job.state)


def describe(jobs: Iterable[ReplayJob]) -> list[Described]:
    """Three queries at most, however many jobs."""
    listed = list(jobs)
    criteria = [criteria_of(job) for job in listed]
    names = naming.names_of(criteria)
    return [
        Described(job, item, words(item, called)) for job, item, called in zip(listed, criteria, names, strict=True)
    ]
