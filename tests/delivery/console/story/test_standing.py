from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from delivery.console.story.facts import Facts, Line
from delivery.console.story.holding import hold_of
from delivery.console.story.sides import Side
from delivery.console.story.standing import standing_of
from delivery.models import Breaker
from delivery.outcome import ErrorKind
from tests.delivery.console.story.tale import after, tale, tried


def dead(reason: str = "spent", **values: Any) -> Facts:
    return tale(
        9, [tried(1, **values.pop("attempt", {}))], status="dead", dead_at=after(2), dead_reason=reason, **values
    )


OPEN = Breaker(endpoint_id=7, state="open", reason="10 failures in a row", opened_at=after(1), next_probe_at=after(15))

CASES: list[tuple[Facts, Side, str, str]] = [
    (tale(1), Side.NOBODY, "On its way to a worker.", "Wait"),
    (tale(100), Side.OURS, "No worker has taken it for 1 m 39 s", "workers run"),
    (
        tale(20, [tried(1)], next_attempt_at=after(30)),
        Side.THEIRS,
        "Attempt 1 of 10 failed: answered 503.",
        "The next one is in 10 s. It is given up in",
    ),
    (tale(200, [tried(1)], next_attempt_at=after(30)), Side.OURS, "overdue by 2 m 50 s", "workers run"),
    (
        tale(9, held_reason="endpoint_paused", endpoint={"state_reason": "maintenance"}),
        Side.SETTINGS,
        "Held: its endpoint is paused: maintenance.",
        "resumes the endpoint",
    ),
    (
        tale(9, held_reason="breaker_open", breaker=OPEN),
        Side.THEIRS,
        "its breaker opened, 8 s ago: 10 failures in a row",
        "The next probe is in 6 s",
    ),
    (
        tale(9, held_reason="breaker_open", breaker=Breaker(state="open", by_hand=True, reason="quiet, please")),
        Side.SETTINGS,
        "somebody opened the breaker of its endpoint: quiet, please",
        "closes the breaker",
    ),
    (tale(9, held_reason="breaker_open"), Side.NOBODY, "was open", "within seconds"),
    (tale(9, held_reason="rate_limit", endpoint={"rate_limit": 2.0}), Side.SETTINGS, "2 requests a second", "slot"),
    (tale(9, held_reason="in_flight_cap", endpoint={"max_in_flight": 3}), Side.SETTINGS, "(3 at once)", "one ends"),
    (tale(9, held_reason="ordering", line=Line(uuid4(), 0)), Side.NOBODY, "the delivery before it", "passed over"),
    (tale(9, held_reason="unsigned"), Side.OURS, "cannot be read", "keys"),
    (tale(9, held_reason="something_new"), Side.THEIRS, "something new", "by itself"),
    (dead(), Side.THEIRS, "The last attempt: answered 503.", "shows no failure now: replay it."),
    (dead(breaker=OPEN), Side.THEIRS, "every attempt", "still fails: replay it once"),
    (dead(attempt={"status_code": 404}), Side.SETTINGS, "Dead 7 s ago", "check the endpoint’s URL. Mend that"),
    (dead(attempt={"status_code": 401}), Side.SETTINGS, "Dead", "compare the secret"),
    (dead("template"), Side.SETTINGS, "template cannot be filled", "Mend the endpoint’s settings"),
    (dead("event_expired"), Side.NOBODY, "past retention", "publish it again"),
    (dead(endpoint={"state": "disabled"}), Side.THEIRS, "Dead", "Enable its endpoint first"),
    (dead(endpoint={"archived_at": timezone.now()}), Side.THEIRS, "Dead", "cannot be replayed"),
    (dead(line=Line(None, 3)), Side.THEIRS, "3 of its partition key wait behind it.", "or pass it over"),
    (tale(9, status="cancelled", cancelled_at=after(2)), Side.NOBODY, "Cancelled by hand 7 s ago", "Replay it"),
    (
        tale(9, [tried(1), tried(7, 2, outcome="delivered")], status="delivered", finished_at=after(7)),
        Side.NOBODY,
        "Delivered 2 s ago, 7 s after it was accepted. Before that one attempt failed, at last answered 503.",
        "Nothing is to be done.",
    ),
]


@pytest.mark.parametrize(("facts", "side", "words", "press"), CASES)
def test_sentence_says_whose_it_is_and_what_to_press(facts: Facts, side: Side, words: str, press: str) -> None:
    standing = standing_of(facts)
    assert standing.side is side
    assert words in standing.words
    assert press in standing.press


def test_every_reason_that_can_hold_has_words_of_its_own() -> None:
    for kind in (
        "endpoint_paused",
        "breaker_open",
        "retry_after",
        "rate_limit",
        "in_flight_cap",
        "ordering",
        "backlog",
    ):
        hold = hold_of(tale(9, held_reason=ErrorKind(kind)))
        assert hold is not None
        assert len(hold.words) > 15
        assert hold.ends.endswith(".")
    assert hold_of(tale(9)) is None
    assert hold_of(dead(held_reason="ordering")) is None
