"""How a subscription's failed deliveries are tried again: the policies that have names, and policies from plain data. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from subscriptions.durations import DAY_S, HOUR_S, MINUTE_S, DurationError, duration_text, parse_duration

GONE_STATUS = 410
# Standard Webhooks, "HTTP status codes": the receiver (or what stands before it) asks us to slow down.
THROTTLING_STATUSES = frozenset({429, 502, 503, 504})

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


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy that can be chosen. `purpose`: half a sentence for the form and the page."""

    label: str
    purpose: str
    policy: RetryPolicy


STANDARD = "standard"
DEFAULT_POLICY = RetryPolicy()
# Old news alerts nobody: at full jitter all is tried within 59 minutes, and after the hour the delivery is dead.
QUICK_POLICY = RetryPolicy(
    schedule_s=(0.0, 5.0, 15.0, 30.0, *(minutes * MINUTE_S for minutes in (1, 2, 5, 10, 15, 20))),
    jitter_share=0.1,
    max_age_s=HOUR_S,
)
# A receiver that works things off slowly gets a minute of rest first, a wide spread, and ten days for held deliveries.
PATIENT_POLICY = RetryPolicy(
    schedule_s=(0.0, MINUTE_S, 10 * MINUTE_S, *(hours * HOUR_S for hours in (1, 4, 8, 12, 24, 24, 24))),
    jitter_share=0.5,
    max_age_s=10 * DAY_S,
)
NAMED_POLICIES: dict[str, NamedPolicy] = {
    STANDARD: NamedPolicy("Standard", "the schedule of Standard Webhooks", DEFAULT_POLICY),
    "quick": NamedPolicy("Quick", "for alerting: dense for an hour, then dead", QUICK_POLICY),
    "patient": NamedPolicy("Patient", "for slow receivers: rest between attempts, and a long life", PATIENT_POLICY),
}


class PolicyError(ValueError):
    """`errors`: field name → what is wrong with it, in words for the person who wrote the policy."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in errors.items()))
        self.errors = dict(errors)


def parse_policy(data: Mapping[str, object]) -> RetryPolicy:
    """A policy from plain data (JSON). Raises PolicyError naming every bad field.

    `name` is one of NAMED_POLICIES, without it "standard"; fields beside it override that policy's own.
    """
    errors = {str(field): "is not a field of a retry policy" for field in data if field not in KNOWN_FIELDS}
    for field, check in FIELD_CHECKS.items():
        message = check(data[field]) if field in data else ""
        if message:
            errors[field] = message
    named = NAMED_POLICIES.get(str(data.get(NAME, STANDARD)))
    if named is None:
        errors[NAME] = f"takes one of {', '.join(NAMED_POLICIES)}"
    if errors or named is None:
        raise PolicyError(errors)
    return replace(named.policy, **{field: read(data[field]) for field, read in FIELD_TYPES.items() if field in data})


def policy_as_data(policy: RetryPolicy) -> dict[str, object]:
    """The plain data that `parse_policy` turns back into an equal policy."""
    return {
        "schedule_s": list(policy.schedule_s),
        "jitter_share": policy.jitter_share,
        "max_age_s": policy.max_age_s,
        "permanent_statuses": sorted(policy.permanent_statuses),
    }


def stored_policy(written: object) -> dict[str, object] | None:
    """What people wrote (a name, or a mapping whose times may be "5m") → data for Subscription.retry_policy.

    None stands for the plain standard policy. Stricter than `parse_policy`, which must go on reading what is stored: the
    schedule begins with the first attempt's 0. Raises PolicyError.
    """
    data = _as_mapping(written)
    errors: dict[str, str] = {}
    for field, read in WRITTEN_TIMES.items():
        if field in data:
            try:
                data[field] = read(data[field])
            except DurationError as error:
                errors[field] = str(error)
    try:
        parse_policy({field: value for field, value in data.items() if field not in errors})
    except PolicyError as error:
        errors = error.errors | errors
    schedule_s = data.get("schedule_s")
    if "schedule_s" not in errors and isinstance(schedule_s, list) and schedule_s[0] != 0:
        errors["schedule_s"] = "begins with 0, the first attempt; the waits between attempts follow"
    if errors:
        raise PolicyError(errors)
    return None if data == {NAME: STANDARD} else data


def policy_text(policy: RetryPolicy) -> str:
    """A line for people, such as "3 attempts: at once, 5 s, 5 min; up to 20 % later; dead after 5 d"."""
    waits = ", ".join(["at once", *(duration_text(wait) for wait in policy.schedule_s[1:])])
    attempts = f"{len(policy.schedule_s)} attempt{'s' if len(policy.schedule_s) > 1 else ''}"
    return f"{attempts}: {waits}; up to {policy.jitter_share:.0%} later; dead after {duration_text(policy.max_age_s)}"


def _as_mapping(written: object) -> dict[str, object]:
    if isinstance(written, str):
        return {NAME: written}
    if not isinstance(written, Mapping):
        raise PolicyError({NAME: f"takes {', '.join(NAMED_POLICIES)}, or a mapping of a policy's fields"})
    fields = {str(field): value for field, value in written.items()}
    set_ones = {field: value for field, value in fields.items() if value is not None or field not in KNOWN_FIELDS}
    return {NAME: STANDARD} | set_ones


def _written_schedule(value: object) -> object:
    return [parse_duration(wait) for wait in value] if isinstance(value, list | tuple) else value


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _check_schedule(value: object) -> str:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_ATTEMPTS:
        return f"takes a list of 1 to {MAX_ATTEMPTS} waits, one for each attempt"
    if not all(_is_number(wait, 0, MAX_WAIT_S) for wait in value):
        return f"takes waits from 0 s to {duration_text(MAX_WAIT_S)}"
    return ""


def _check_jitter(value: object) -> str:
    return "" if _is_number(value, 0, 1) else "takes a share from 0 to 1"


def _check_max_age(value: object) -> str:
    low, high = MIN_MAX_AGE_S, MAX_MAX_AGE_S
    return "" if _is_number(value, low, high) else f"takes a time from {duration_text(low)} to {duration_text(high)}"


def _check_statuses(value: object) -> str:
    if not isinstance(value, list | tuple | set | frozenset):
        return "takes a list of status codes"
    if not all(_is_status(status) for status in value):
        return "takes status codes from 400 to 599"
    taken = sorted(status for status in value if status == GONE_STATUS or status in THROTTLING_STATUSES)
    return f"{taken[0]} has a meaning of its own and cannot be permanent" if taken else ""


def _is_status(value: object) -> bool:
    return isinstance(value, int) and _is_number(value, 400, 599)


NAME = "name"
FIELD_CHECKS: dict[str, Callable[[object], str]] = {
    "schedule_s": _check_schedule,
    "jitter_share": _check_jitter,
    "max_age_s": _check_max_age,
    "permanent_statuses": _check_statuses,
}
KNOWN_FIELDS = frozenset({NAME, *FIELD_CHECKS})
FIELD_TYPES: dict[str, Callable[..., Any]] = {
    "schedule_s": lambda waits: tuple(float(wait) for wait in waits),
    "jitter_share": float,
    "max_age_s": float,
    "permanent_statuses": frozenset,
}
WRITTEN_TIMES: dict[str, Callable[[object], object]] = {
    "schedule_s": _written_schedule,
    "max_age_s": parse_duration,
}
