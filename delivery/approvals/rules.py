"""When a second person must agree, who that may be, and the one table of an approval's moves. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from delivery.models import ApprovalState

REASON_LENGTH_MOST = 500

LEGAL_MOVES: dict[ApprovalState, frozenset[ApprovalState]] = {
    ApprovalState.REQUESTED: frozenset(
        {ApprovalState.APPROVED, ApprovalState.REJECTED, ApprovalState.EXPIRED, ApprovalState.WITHDRAWN}
    ),
    ApprovalState.APPROVED: frozenset({ApprovalState.FAILED}),  # within the transaction of the yes
    ApprovalState.FAILED: frozenset(),
    ApprovalState.REJECTED: frozenset(),
    ApprovalState.EXPIRED: frozenset(),
    ApprovalState.WITHDRAWN: frozenset(),
}

ESCALATED = "It died and called a person."
BY_SYSTEM = "The system disabled the endpoint, not a hand."


def sources_of(target: ApprovalState) -> list[str]:
    """The states from which `target` may be reached, for a conditional UPDATE's WHERE."""
    return [source.value for source, targets in LEGAL_MOVES.items() if target in targets]


def why_delivery(*, dead: bool, escalated: bool) -> str:
    """Why a second person must agree to a replay of it, or to pass over it; "" when nobody need be asked. So do the
    two below."""
    return ESCALATED if dead and escalated else ""


def why_many(total: int, *, exact: bool, limit: int, takes_escalated: bool) -> str:
    """Of a replay or a cancel of many. `exact` False: counting was cut short, and who knows how many they are."""
    if total > limit:
        return f"It takes {total:,} deliveries, more than {limit:,}."
    if not exact:
        return f"Nobody knows whether it takes more than {limit:,} deliveries."
    return "Among its deliveries are some that died and called a person." if takes_escalated else ""


def why_endpoint(*, disabled: bool, by_system: bool) -> str:
    return BY_SYSTEM if disabled and by_system else ""


def expiry(now: datetime, hours: int) -> datetime:
    return now + timedelta(hours=hours)


def refusal_of_decider(*, is_person: bool, may_approve: bool, decider: int | None, requesters: Collection[int]) -> str:
    """Why that caller cannot decide; "" when they can. `requesters`: all the persons behind who asked, as far as known."""
    if not is_person:
        return "A key cannot decide: an approval is a person's, signed in."
    if not may_approve:
        return "Deciding takes the role approver in that tenant."
    if decider in requesters:
        return "Who asked cannot decide, also not for a key of theirs: a second person must."
    return ""


def refusal_of_state(state: ApprovalState, expires_at: datetime, now: datetime, by: str) -> str:
    """Why it cannot be decided or withdrawn any more; "" when it can."""
    if state is ApprovalState.REQUESTED:
        return "" if now < expires_at else "It has expired: ask again."
    by_whom = f" by {by}" if by else ""
    return f"It is not waiting any more: {state.label.lower()}{by_whom}."


def refusal_of_reason(reason: str) -> str:
    """ "" for 1 to REASON_LENGTH_MOST characters that PostgreSQL takes."""
    if not reason.strip() or len(reason) > REASON_LENGTH_MOST or "\0" in reason:
        return f"Say why: 1 to {REASON_LENGTH_MOST} characters."
    return ""
