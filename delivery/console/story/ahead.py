"""Why the next attempt is when it is, which are still to come, and when it is given up at the latest. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from delivery.console.story.facts import Facts
from delivery.console.story.holding import hold_of
from delivery.console.wording import span_words
from delivery.models import Attempt
from delivery.outcome import parse_retry_after
from delivery.retry import deadline
from subscriptions.durations import duration_text
from subscriptions.retry_policy import RetryPolicy

COMING_SHOWN = 10
# Between the end of an attempt and the moment that its wait is counted from: it has to be recorded.
RECORDING_S = 2.0
NO_JITTER = 1.05  # what is longer by less is not worth a word


@dataclass(frozen=True, slots=True)
class Coming:
    """An attempt that is still to come, if all before it fail. `number` is of this round, from 1."""

    number: int
    wait: str
    earliest: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class Ahead:
    """`number` of `attempts` is the next one. `reasons`: why it is when it is, sentences. `given_up_at`: at the latest."""

    number: int
    attempts: int
    at: datetime | None
    reasons: list[str]
    coming: list[Coming]
    more: int
    given_up_at: datetime
    by_age: bool


def ahead_of(facts: Facts) -> Ahead | None:
    """None: nothing is to come."""
    if not facts.is_open:
        return None
    delivery, policy = facts.delivery, facts.policy
    last_at = deadline(policy, delivery.round_at)
    later = list(_later(policy, delivery.tries, delivery.next_attempt_at or facts.now, last_at))
    ends_at = later[-1].latest if later else delivery.next_attempt_at or facts.now
    whole = delivery.tries + 1 + len(later) == len(policy.schedule_s)
    return Ahead(
        number=delivery.tries + 1,
        attempts=len(policy.schedule_s),
        at=delivery.next_attempt_at,
        reasons=list(_reasons(facts, last_at)),
        coming=later[:COMING_SHOWN],
        more=max(len(later) - COMING_SHOWN, 0),
        given_up_at=min(ends_at, last_at) if whole and not delivery.held_reason else last_at,
        by_age=not whole or bool(delivery.held_reason) or ends_at >= last_at,
    )


def wait_words(policy: RetryPolicy, place: int, waited_s: float, asked_s: float | None) -> str:
    """Why so long passed before the attempt of that place (from 0) in its round; `asked_s`: by Retry-After."""
    if not 0 <= place < len(policy.schedule_s):
        return ""
    planned_s = policy.schedule_s[place]
    if asked_s is not None and asked_s > planned_s:
        return f"the receiver asked for {duration_text(asked_s)}"
    most_s = planned_s * (1 + policy.jitter_share) + RECORDING_S
    if waited_s <= most_s:
        return f"the schedule’s {duration_text(planned_s)}" + (
            " and jitter" if waited_s > planned_s * NO_JITTER else ""
        )
    longer = f"{span_words(waited_s - planned_s)} longer than the schedule’s {duration_text(planned_s)}"
    return f"{longer}: held, or no worker was free"


def retry_after_of(attempt: Attempt) -> float | None:
    """What a throttling answer asked for, in seconds."""
    if attempt.outcome != "throttled":
        return None
    value = next((str(text) for name, text in attempt.response_headers if str(name).lower() == "retry-after"), None)
    asked_s = None if value is None else parse_retry_after(value, attempt.started_at.timestamp())
    return None if asked_s is None else float(round(asked_s))


def ended_at(attempt: Attempt) -> datetime:
    return attempt.started_at + timedelta(milliseconds=attempt.duration_ms)


def _later(policy: RetryPolicy, tries: int, first: datetime, last_at: datetime) -> Iterator[Coming]:
    """Those after the next one; the schedule that is over or too late ends it."""
    earliest = latest = first
    for place in range(tries + 1, len(policy.schedule_s)):
        wait_s = policy.schedule_s[place]
        earliest += timedelta(seconds=wait_s)
        latest += timedelta(seconds=wait_s * (1 + policy.jitter_share))
        if earliest > last_at:
            return
        yield Coming(place + 1, duration_text(wait_s), earliest, min(latest, last_at))


def _reasons(facts: Facts, last_at: datetime) -> Iterator[str]:
    delivery, policy, hold = facts.delivery, facts.policy, hold_of(facts)
    yield (
        f"Attempt {delivery.tries + 1} of {len(policy.schedule_s)} of its retry policy ({facts.policy_name})"
        + (", in the round that the replay began." if delivery.replays else ".")
    )
    if hold is not None:
        yield f"It is held: {hold.words}. No attempt is spent meanwhile. {hold.ends}"
    elif delivery.tries and facts.last is not None and delivery.next_attempt_at is not None:
        yield from _schedule(facts, facts.last, delivery.next_attempt_at)
    elif delivery.next_attempt_at is not None:
        yield "A first attempt waits for nothing but a worker."
    age = duration_text(policy.max_age_s)
    yield f"The maximum age is {age} from the {'replay' if delivery.replays else 'plan'}: what would come later is not tried."


def _schedule(facts: Facts, last: Attempt, at: datetime) -> Iterator[str]:
    policy, place = facts.policy, facts.delivery.tries
    if place >= len(policy.schedule_s):
        return
    planned_s, asked_s = policy.schedule_s[place], retry_after_of(last)
    yield f"The schedule waits {duration_text(planned_s)} after attempt {place} has failed."
    wished_s = max(planned_s, asked_s or 0.0)
    if asked_s is not None:
        which = "longer, so it counts" if asked_s > planned_s else "no longer than that"
        yield f"The receiver asked for {duration_text(asked_s)} by Retry-After: {which}."
    added_s = (at - ended_at(last)).total_seconds() - wished_s
    if added_s >= 1 and policy.jitter_share:
        share = f"{policy.jitter_share:.0%}"
        yield f"Jitter added {span_words(added_s)} (up to {share}): what failed together does not return together."
