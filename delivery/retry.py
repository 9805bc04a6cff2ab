"""When a failed delivery is tried again. Pure: the clock and the dice are arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from delivery.outcome import GONE_STATUS, MAX_RETRY_AFTER_S, THROTTLING_STATUSES

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86_400.0

# Standard Webhooks 1.0, "Retries": the wait before each attempt, counted from the end of the one before it.
DEFAULT_SCHEDULE_S = (
    0.0,
    5.0,
    5 * MINUTE_S,
    30 * MINUTE_S,
    2 * HOUR_S,
    5 * HOUR_S,
    10 * HOUR_S,
    14 * HOUR_S,
    20 * HOUR_S,
    24 * HOUR_S,
)
# Enough to spread what failed together, little enough that the schedule stays what the page says.
DEFAULT_JITTER_SHARE = 0.2
# The default schedule with full jitter ends within 3.8 days; the rest is room for Retry-After and holds.
DEFAULT_MAX_AGE_S = 5 * DAY_S

MAX_ATTEMPTS = 50
MAX_WAIT_S = 7 * DAY_S
MIN_MAX_AGE_S = MINUTE_S
MAX_MAX_AGE_S = 30 * DAY_S


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`schedule_s` has one wait for each attempt, the first one's too, so its length is the number of attempts."""

    schedule_s: tuple[float, ...] = DEFAULT_SCHEDULE_S
    jitter_share: float = DEFAULT_JITTER_SHARE
    max_age_s: float = DEFAULT_MAX_AGE_S
    permanent_statuses: frozenset[int] = frozenset()

    def is_permanent(self, status_code: int | None) -> bool:
        return status_code in self.permanent_statuses


DEFAULT_POLICY = RetryPolicy()


class DeadReason(StrEnum):
    SPENT = "spent"  # every attempt of the schedule was made
    TOO_OLD = "too_old"  # the next try would come after the maximum age


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
    return Dead(DeadReason.TOO_OLD) if _is_past_age(policy, first_planned_at, at) else NextTry(at)


def hold_until(policy: RetryPolicy, first_planned_at: datetime, now: datetime, hold_s: float) -> NextTry | Dead:
    """What follows a deferral: no attempt is spent, yet the maximum age still ends it."""
    at = now + timedelta(seconds=hold_s)
    return Dead(DeadReason.TOO_OLD) if _is_past_age(policy, first_planned_at, at) else NextTry(at)


def _is_past_age(policy: RetryPolicy, first_planned_at: datetime, at: datetime) -> bool:
    return at > first_planned_at + timedelta(seconds=policy.max_age_s)


class PolicyError(ValueError):
    """`errors`: field name → what is wrong with it, in words for the person who wrote the policy."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in errors.items()))
        self.errors = dict(errors)


def parse_policy(data: Mapping[str, object]) -> RetryPolicy:
    """A policy from plain data (JSON, YAML); absent fields take the default. Raises PolicyError naming every bad field."""
    errors = {str(field): "is not a field of a retry policy" for field in data if field not in FIELD_CHECKS}
    for field, check in FIELD_CHECKS.items():
        message = check(data[field]) if field in data else ""
        if message:
            errors[field] = message
    if errors:
        raise PolicyError(errors)
    return replace(DEFAULT_POLICY, **{field: FIELD_TYPES[field](value) for field, value in data.items()})


def policy_as_data(policy: RetryPolicy) -> dict[str, object]:
    """The plain data that `parse_policy` turns back into an equal policy."""
    return {
        "schedule_s": list(policy.schedule_s),
        "jitter_share": policy.jitter_share,
        "max_age_s": policy.max_age_s,
        "permanent_statuses": sorted(policy.permanent_statuses),
    }


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _check_schedule(value: object) -> str:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_ATTEMPTS:
        return f"must be a list of 1 to {MAX_ATTEMPTS} waits in seconds"
    if not all(_is_number(wait, 0, MAX_WAIT_S) for wait in value):
        return f"each wait must be a number of seconds from 0 to {MAX_WAIT_S:.0f}"
    return ""


def _check_jitter(value: object) -> str:
    return "" if _is_number(value, 0, 1) else "must be a number from 0 to 1"


def _check_max_age(value: object) -> str:
    low, high = MIN_MAX_AGE_S, MAX_MAX_AGE_S
    return "" if _is_number(value, low, high) else f"must be a number of seconds from {low:.0f} to {high:.0f}"


def _check_statuses(value: object) -> str:
    if not isinstance(value, list | tuple | set | frozenset):
        return "must be a list of status codes"
    if not all(_is_status(status) for status in value):
        return "each must be a status code from 400 to 599"
    taken = sorted(status for status in value if status == GONE_STATUS or status in THROTTLING_STATUSES)
    return f"{taken[0]} has a meaning of its own and cannot be permanent" if taken else ""


def _is_status(value: object) -> bool:
    return isinstance(value, int) and _is_number(value, 400, 599)


FIELD_CHECKS: dict[str, Callable[[object], str]] = {
    "schedule_s": _check_schedule,
    "jitter_share": _check_jitter,
    "max_age_s": _check_max_age,
    "permanent_statuses": _check_statuses,
}
FIELD_TYPES: dict[str, Callable[..., Any]] = {
    "schedule_s": lambda waits: tuple(float(wait) for wait in waits),
    "jitter_share": float,
    "max_age_s": float,
    "permanent_statuses": frozenset,
}
