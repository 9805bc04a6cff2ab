"""The one sentence at the top of a delivery's page: what is going on, whose it is, and what to press. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from delivery.console.story.ahead import ahead_of
from delivery.console.story.facts import Facts
from delivery.console.story.holding import hold_of
from delivery.console.story.sides import SIDE_WORDS, Side, hint_of, side_of
from delivery.console.wording import ago_words, dead_words, due_words, duration_words, error_words, span_words
from delivery.models import Attempt, Breaker, BreakerState
from delivery.outcome import ErrorKind, OutcomeKind
from delivery.states import DeliveryStatus
from subscriptions.models import EndpointState

# Longer than a claim and a send take together when all is well: then nobody has taken it.
UNTAKEN_S = 30.0


@dataclass(frozen=True, slots=True)
class Standing:
    """`words`: what is going on; `press`: what to do about it. Sentences."""

    words: str
    press: str
    side: Side = Side.NOBODY

    @property
    def side_words(self) -> str:
        return SIDE_WORDS[self.side]


def standing_of(facts: Facts) -> Standing:
    match facts.delivery.state:
        case DeliveryStatus.DELIVERED:
            return _delivered(facts)
        case DeliveryStatus.DEAD:
            return _dead(facts)
        case DeliveryStatus.CANCELLED:
            return Standing(f"Cancelled by hand{_ago(facts)}: nothing more is sent.", "Replay it to send it after all.")
        case _:
            return _open(facts)


def _delivered(facts: Facts) -> Standing:
    delivery = facts.delivery
    ended = delivery.finished_at or facts.now
    took = duration_words((ended - delivery.planned_at).total_seconds() * 1000)
    failed = [tried.row for tried in facts.tried if tried.row.outcome != OutcomeKind.DELIVERED]
    before = f" Before that {_times(len(failed))} failed, at last {_result(failed[-1])}." if failed else ""
    return Standing(f"Delivered{_ago(facts)}, {took} after it was accepted.{before}", "Nothing is to be done.")


def _dead(facts: Facts) -> Standing:
    delivery, last = facts.delivery, facts.last
    result = f" The last attempt: {_result(last)}." if last and delivery.dead_reason in ("spent", "too_old") else ""
    words = f"Dead{_ago(facts)}: {dead_words(delivery.dead_reason)}.{result}"
    if facts.line is not None and facts.line.behind:
        words += (
            f" {facts.line.behind:,} of its partition key {'waits' if facts.line.behind == 1 else 'wait'} behind it."
        )
    side = _side(facts, delivery.dead_reason)
    return Standing(words, _press_for_dead(facts, side), side)


def _press_for_dead(facts: Facts, side: Side) -> str:
    delivery, endpoint = facts.delivery, facts.delivery.endpoint
    if endpoint.archived_at is not None:
        return "Its endpoint is deleted: it cannot be replayed."
    if delivery.dead_reason == ErrorKind.EVENT_EXPIRED:
        return "Its event is past its retention: publish it again."
    if endpoint.state == EndpointState.DISABLED:
        return "Enable its endpoint first, then replay it."
    passed = ", or pass it over to let the others go" if facts.line is not None else ""
    if delivery.dead_reason in (ErrorKind.TEMPLATE, ErrorKind.BAD_URL, ErrorKind.BAD_REQUEST_HEADER):
        return f"Mend the endpoint’s settings, then replay it{passed}."
    if side is Side.SETTINGS:
        return f"{_hint(facts)}Mend that, then replay it{passed}."
    if _still_fails(facts.breaker):
        return f"{_hint(facts)}The endpoint still fails: replay it once it takes deliveries again{passed}."
    return f"{_hint(facts)}The endpoint shows no failure now: replay it{passed}."


def _open(facts: Facts) -> Standing:
    hold = hold_of(facts)
    if hold is not None:
        return Standing(f"Held: {hold.words}.", f"{hold.ends} {_given_up(facts)}", hold.side)
    delivery, last = facts.delivery, facts.last
    if delivery.tries and last is not None:
        return _retrying(facts, last)
    waited_s = (facts.now - max(delivery.round_at, delivery.next_attempt_at or delivery.round_at)).total_seconds()
    if waited_s > UNTAKEN_S:
        return Standing(
            f"No worker has taken it for {span_words(waited_s)}.",
            "See whether the workers run, and how long their queues are.",
            Side.OURS,
        )
    return Standing("On its way to a worker.", "Wait a moment: this page follows it.")


def _retrying(facts: Facts, last: Attempt) -> Standing:
    delivery = facts.delivery
    side = side_of(last.error_kind, last.status_code)
    words = f"Attempt {delivery.tries} of {len(facts.policy.schedule_s)} failed: {_result(last)}."
    at = delivery.next_attempt_at
    late_s = (facts.now - at).total_seconds() if at else 0.0
    if at is not None and late_s > UNTAKEN_S:
        words += f" The next one is overdue by {span_words(late_s)}: no worker has taken it."
        return Standing(words, "See whether the workers run, and how long their queues are.", Side.OURS)
    follows = f"The next one is {due_words(at, facts.now)}." if at else "The next one is on its way."
    return Standing(words, f"{hint_of(last.error_kind, last.status_code)} {follows} {_given_up(facts)}".strip(), side)


def _given_up(facts: Facts) -> str:
    ahead = ahead_of(facts)
    return f"It is given up {due_words(ahead.given_up_at, facts.now)} at the latest." if ahead else ""


def _side(facts: Facts, reason: str) -> Side:
    """Of a death by its own reason, or by the last attempt where the reason is only that it was the last."""
    if reason in set(ErrorKind):
        return side_of(reason, facts.delivery.last_status_code)
    if reason == "gone":
        return Side.THEIRS
    return side_of(facts.delivery.last_error_kind, facts.delivery.last_status_code)


def _hint(facts: Facts) -> str:
    hint = hint_of(facts.delivery.last_error_kind, facts.delivery.last_status_code)
    return f"{hint} " if hint else ""


def _still_fails(breaker: Breaker | None) -> bool:
    return breaker is not None and (breaker.state != BreakerState.CLOSED or breaker.failing_since is not None)


def _ago(facts: Facts) -> str:
    at = facts.delivery.dead_at or facts.delivery.cancelled_at or facts.delivery.finished_at
    return f" {ago_words(at, facts.now)}" if at else ""


def _times(count: int) -> str:
    return "one attempt" if count == 1 else f"{count} attempts"


def _result(attempt: Attempt) -> str:
    """The receiver's status or the error, in words."""
    return attempt.error.rstrip(".") or error_words(attempt.error_kind) or str(attempt.status_code or "no answer")
