"""When a failed or held delivery is tried again. Pure: the clock and the dice are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from delivery.outcome import MAX_RETRY_AFTER_S
from subscriptions.retry_policy import RetryPolicy


class DeadReason(StrEnum):
    SPENT = "spent"  # every attempt of the schedule was made
    TOO_OLD = "too_old"  # the maximum age is over, or would be before the next try


@dataclass(frozen=True, slots=True)
class NextTry:
    at: datetime


@dataclass(frozen=True, slots=True)
class Dead:
    reason: DeadReason


def next_attempt(
    policy: RetryPolicy,
    attempts_made: int,
    first_planned_at: datetime,
    now: datetime,
    retry_after_s: float | None,
    rand: float,
) -> NextTry | Dead:
    """What follows a failed attempt. `attempts_made` counts it; `rand` is uniform in [0, 1).

    Retry-After and jitter only lengthen the schedule's wait.
    """
    if attempts_made >= len(policy.schedule_s):
        return Dead(DeadReason.SPENT)
    wait_s = policy.schedule_s[attempts_made]
    if retry_after_s is not None:
        wait_s = max(wait_s, min(retry_after_s, MAX_RETRY_AFTER_S))
    at = now + timedelta(seconds=wait_s * (1 + policy.jitter_share * rand))
    return Dead(DeadReason.TOO_OLD) if at > deadline(policy, first_planned_at) else NextTry(at)


def hold_until(policy: RetryPolicy, first_planned_at: datetime, now: datetime, hold_s: float) -> NextTry | Dead:
    """What follows a deferral: no attempt is spent, and only a maximum age that is really over ends the delivery.

    A hold that would outlast it is cut to it: what held the delivery may end sooner than was thought.
    """
    ends_at = deadline(policy, first_planned_at)
    if now >= ends_at:
        return Dead(DeadReason.TOO_OLD)
    return NextTry(min(now + timedelta(seconds=hold_s), ends_at))


def deadline(policy: RetryPolicy, first_planned_at: datetime) -> datetime:
    """When the maximum age is over."""
    return first_planned_at + timedelta(seconds=policy.max_age_s)
