"""What holds a delivery, until when, and what ends it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from delivery.console.story.facts import Facts
from delivery.console.story.sides import Side, side_of
from delivery.console.wording import ago_words, due_words, error_words
from delivery.models import BreakerState
from delivery.outcome import ErrorKind

HOLD_PREFIX = "The receiver asked for a pause: "  # of Breaker.hold_reason


@dataclass(frozen=True, slots=True)
class Hold:
    """`words`: the reason, as half a sentence; `ends`: what ends it, a sentence. `until` None: nobody knows."""

    words: str
    ends: str
    side: Side
    until: datetime | None = None


def hold_of(facts: Facts) -> Hold | None:
    """None: nothing holds it."""
    reason = facts.delivery.held_reason
    if not facts.is_open or not reason:
        return None
    told = _HOLDS.get(ErrorKind(reason)) if reason in set(ErrorKind) else None
    if told is None:
        return Hold(error_words(reason), "It goes by itself.", side_of(reason, None), facts.delivery.next_attempt_at)
    return told(facts)


def _paused(facts: Facts) -> Hold:
    why = f": {facts.delivery.endpoint.state_reason}" if facts.delivery.endpoint.state_reason else ""
    return Hold(f"its endpoint is paused{why}", "It goes when somebody resumes the endpoint.", Side.SETTINGS)


def _breaker_open(facts: Facts) -> Hold:
    breaker = facts.breaker
    if breaker is None or breaker.state == BreakerState.CLOSED:
        return Hold("the breaker of its endpoint was open", "It is closed by now: it goes within seconds.", Side.NOBODY)
    since = f", {ago_words(breaker.opened_at, facts.now)}" if breaker.opened_at else ""
    why = f": {breaker.reason}" if breaker.reason else ""
    if breaker.by_hand:
        return Hold(
            f"somebody opened the breaker of its endpoint{since}{why}",
            "It goes when somebody closes the breaker.",
            Side.SETTINGS,
        )
    return Hold(
        f"its endpoint failed so often that its breaker opened{since}{why}",
        "One delivery is on its way to find out."
        if breaker.state == BreakerState.HALF_OPEN
        else f"The next probe is {due_words(breaker.next_probe_at, facts.now)}; when it succeeds this one follows."
        if breaker.next_probe_at
        else "It goes by itself when a probe succeeds.",
        Side.THEIRS,
        breaker.next_probe_at,
    )


def _retry_after(facts: Facts) -> Hold:
    breaker = facts.breaker
    until = breaker.hold_until if breaker and breaker.hold_until else facts.delivery.next_attempt_at
    reason = breaker.hold_reason.removeprefix(HOLD_PREFIX) if breaker else ""
    why = f" ({reason.rstrip('.')})" if reason else ""
    return Hold(f"the receiver asked for a pause by Retry-After{why}", "It goes when that is over.", Side.THEIRS, until)


def _rate_limit(facts: Facts) -> Hold:
    endpoint, tenant = facts.delivery.endpoint.rate_limit, facts.delivery.tenant.rate_limit
    limits = [f"{endpoint:g} requests a second to the endpoint"] if endpoint else []
    limits += [f"{tenant:g} a second to all of the tenant’s endpoints"] if tenant else []
    words = "the rate limit is used up" + (f": {' and '.join(limits)}" if limits else "")
    return Hold(words, "It goes when its slot comes.", Side.SETTINGS, facts.delivery.next_attempt_at)


def _in_flight(facts: Facts) -> Hold:
    most = facts.delivery.endpoint.max_in_flight
    limit = f" ({most} at once)" if most else ""
    return Hold(f"too many requests to its endpoint are in flight{limit}", "It goes when one ends.", Side.SETTINGS)


def _ordering(facts: Facts) -> Hold:
    if facts.line is None or facts.line.head is None:
        return Hold(
            "it waits for its turn", "It is the first of its partition key: it goes within seconds.", Side.NOBODY
        )
    return Hold(
        "the delivery before it of the same partition key has not ended",
        "It goes when that one is delivered, passed over or cancelled.",
        Side.NOBODY,
    )


def _backlog(facts: Facts) -> Hold:
    return Hold("its endpoint’s waiting deliveries are let go a few at a time", "It goes by itself.", Side.NOBODY)


def _unsigned(facts: Facts) -> Hold:
    return Hold(
        "a secret that it needs cannot be read, and without it, it must not go",
        "It goes when the encryption keys are there again, or the secret is set anew.",
        Side.OURS,
    )


def _internal(facts: Facts) -> Hold:
    return Hold("our own database could not be reached", "It goes by itself.", Side.OURS)


_HOLDS: dict[ErrorKind, Callable[[Facts], Hold]] = {
    ErrorKind.ENDPOINT_PAUSED: _paused,
    ErrorKind.BREAKER_OPEN: _breaker_open,
    ErrorKind.RETRY_AFTER: _retry_after,
    ErrorKind.RATE_LIMIT: _rate_limit,
    ErrorKind.IN_FLIGHT_CAP: _in_flight,
    ErrorKind.ORDERING: _ordering,
    ErrorKind.BACKLOG: _backlog,
    ErrorKind.UNSIGNED: _unsigned,
    ErrorKind.INTERNAL: _internal,
}
