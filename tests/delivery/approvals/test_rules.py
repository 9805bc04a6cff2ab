from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from delivery.approvals import rules
from delivery.models import ApprovalState

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("dead", "escalated", "needed"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_delivery_needs_a_second_person_when_its_death_called_one(dead: bool, escalated: bool, needed: bool) -> None:
    assert bool(rules.why_delivery(dead=dead, escalated=escalated)) is needed


@pytest.mark.parametrize(
    ("total", "exact", "takes_escalated", "words"),
    [
        (1_000, True, False, ""),
        (1_001, True, False, "1,001 deliveries, more than 1,000"),
        (3, False, False, "Nobody knows"),
        (3, True, True, "some that died and called a person"),
    ],
)
def test_replay_needs_a_second_person_when_it_takes_many_or_the_wrong_ones(
    total: int, exact: bool, takes_escalated: bool, words: str
) -> None:
    why = rules.why_many(total, exact=exact, limit=1_000, takes_escalated=takes_escalated)
    assert words in why
    assert bool(why) is bool(words)


@pytest.mark.parametrize(
    ("disabled", "by_system", "needed"), [(True, True, True), (True, False, False), (False, False, False)]
)
def test_endpoint_needs_a_second_person_when_the_system_disabled_it(
    disabled: bool, by_system: bool, needed: bool
) -> None:
    assert bool(rules.why_endpoint(disabled=disabled, by_system=by_system)) is needed


@pytest.mark.parametrize(
    ("is_person", "may_approve", "decider", "requester", "words"),
    [
        (True, True, 2, 1, ""),
        (True, True, 2, None, ""),
        (True, True, 1, 1, "Who asked"),
        (False, True, 2, 1, "A key cannot"),
        (True, False, 2, 1, "role approver"),
    ],
)
def test_decider_is_a_second_person_with_the_role(
    is_person: bool, may_approve: bool, decider: int, requester: int | None, words: str
) -> None:
    requesters = set() if requester is None else {requester}
    told = rules.refusal_of_decider(
        is_person=is_person, may_approve=may_approve, decider=decider, requesters=requesters
    )
    assert words in told
    assert bool(told) is bool(words)


def test_moves_end_everywhere_but_where_it_waits() -> None:
    ends = {state for state, targets in rules.LEGAL_MOVES.items() if not targets}
    assert ends == set(ApprovalState) - {ApprovalState.REQUESTED, ApprovalState.APPROVED}
    assert set(rules.LEGAL_MOVES) == set(ApprovalState)
    assert rules.sources_of(ApprovalState.REQUESTED) == []
    assert rules.sources_of(ApprovalState.APPROVED) == ["requested"]


@pytest.mark.parametrize(
    ("state", "left_s", "words"),
    [
        ("requested", 1, ""),
        ("requested", 0, "expired"),
        ("rejected", 9, "rejected by user:eva"),
        ("expired", 0, "expired"),
    ],
)
def test_it_can_be_decided_while_it_waits_and_is_not_overdue(state: str, left_s: int, words: str) -> None:
    by = "user:eva" if state == "rejected" else ""
    told = rules.refusal_of_state(ApprovalState(state), NOW + timedelta(seconds=left_s), NOW, by)
    assert words in told
    assert bool(told) is bool(words)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\0b"])
def test_reason_is_refused_when_it_says_nothing_or_too_much(reason: str) -> None:
    assert rules.refusal_of_reason(reason)
    assert not rules.refusal_of_reason("x" * 500)
