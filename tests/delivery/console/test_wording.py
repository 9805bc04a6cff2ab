from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from delivery.console import wording
from delivery.outcome import ErrorKind, OutcomeKind
from delivery.retry import DeadReason

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("kind", [kind for kind in ErrorKind if kind])
def test_every_error_kind_has_words(kind: ErrorKind) -> None:
    assert kind in wording.ERROR_WORDS


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_every_outcome_has_words_and_a_tone(kind: OutcomeKind) -> None:
    assert kind in wording.OUTCOME_WORDS
    assert wording.outcome_tone(kind) in ("good", "warn", "bad")


@pytest.mark.parametrize("reason", list(DeadReason))
def test_every_dead_reason_has_words(reason: DeadReason) -> None:
    assert wording.dead_words(reason) != reason
    assert wording.dead_label(reason) != reason


def test_a_kind_of_the_future_stands_for_itself() -> None:
    assert wording.error_words("moon_phase") == "moon phase"
    assert wording.outcome_words("teleported") == "teleported"
    assert wording.dead_words("no_such_thing") == "no such thing"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [(200, "", "200"), (503, "http_status", "503"), (None, "timeout", "no answer in time"), (None, "", "")],
)
def test_result_is_said_in_few_words(code: int | None, kind: str, words: str) -> None:
    assert wording.result_words(code, kind) == words


@pytest.mark.parametrize(
    ("ms", "words"),
    [(0.2, "<1 ms"), (23.4, "23 ms"), (999.4, "999 ms"), (1234, "1.23 s"), (10003, "10 s"), (125_000, "2 m 05 s")],
)
def test_duration_is_said_as_people_would(ms: float, words: str) -> None:
    assert wording.duration_words(ms) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "just now"),
        (12, "12 s ago"),
        (250, "4 m 10 s ago"),
        (3 * 3600 + 300, "3 h 05 m ago"),
        (2 * 86400 + 4 * 3600, "2 d 4 h ago"),
        (-250, "in 4 m 10 s"),
    ],
)
def test_how_long_ago_is_said_with_two_units_at_most(seconds: float, words: str) -> None:
    assert wording.ago_words(NOW - timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(("seconds", "words"), [(-250, "in 4 m 10 s"), (0, "just now"), (12, "overdue by 12 s")])
def test_a_next_attempt_is_to_come_or_overdue(seconds: float, words: str) -> None:
    assert wording.due_words(NOW - timedelta(seconds=seconds), NOW) == words
