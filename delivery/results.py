"""From an outcome to what it makes of its delivery. Pure: the clock and the dice are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.planning import HELD_LOOK_S
from delivery.retry import Dead, DeadReason, hold_until, next_attempt
from delivery.states import DeliveryStatus
from delivery.store import ResultRow
from delivery.worker.held import Held
from eventcenter.ids import id_time

GONE_REASON = "gone"
PERMANENT_REASON = "permanent"
DEFAULT_HOLD_S = 5.0
# design §3 rule 3: nearer retries go by countdown, later ones have only their due_at and come by the sweep.
COUNTDOWN_MAX_S = 300.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the delivery goes from here. `retry_at` with `by_countdown`: a dispatch of its own is to be made for then.

    `due_at`: when the sweep takes it.
    """

    status: DeliveryStatus
    retry_at: datetime | None = None
    by_countdown: bool = False
    due_at: datetime | None = None
    dead_reason: str = ""
    held_reason: str = ""


def judge(held: Held, outcome: Outcome, now: datetime, rand: float) -> Verdict:
    """`rand` is uniform in [0, 1)."""
    match outcome.kind:
        case OutcomeKind.DELIVERED:
            return Verdict(DeliveryStatus.DELIVERED)
        case OutcomeKind.GONE:
            return Verdict(DeliveryStatus.DEAD, dead_reason=GONE_REASON)
        case OutcomeKind.PERMANENT:
            return Verdict(DeliveryStatus.DEAD, dead_reason=str(outcome.error_kind) or PERMANENT_REASON)
        case OutcomeKind.DEFERRED:
            return _held(held, outcome, now)
        case _:
            return _after_failure(held, outcome, now, rand)


def _after_failure(held: Held, outcome: Outcome, now: datetime, rand: float) -> Verdict:
    if held.policy.is_permanent(outcome.status_code):
        return Verdict(DeliveryStatus.DEAD, dead_reason=PERMANENT_REASON)
    loaded = held.loaded
    after = next_attempt(held.policy, loaded.tries + 1, loaded.round_at, now, outcome.retry_after_s, rand)
    if isinstance(after, Dead):
        return Verdict(DeliveryStatus.DEAD, dead_reason=str(after.reason))
    near = (after.at - now).total_seconds() <= COUNTDOWN_MAX_S
    return Verdict(DeliveryStatus.RETRYING, after.at, near, None if near else after.at)


def _held(held: Held, outcome: Outcome, now: datetime) -> Verdict:
    """No attempt is spent, yet the maximum age still ends it. What a stopping worker had not started goes on at once."""
    loaded = held.loaded
    status = DeliveryStatus(loaded.status)
    if outcome.error_kind is ErrorKind.SHUTDOWN:
        return Verdict(status, now, by_countdown=True)
    hold_s = DEFAULT_HOLD_S if outcome.retry_after_s is None else outcome.retry_after_s
    expected = hold_until(held.policy, loaded.round_at, now, hold_s)
    look = hold_until(held.policy, loaded.round_at, now, HELD_LOOK_S)
    if isinstance(expected, Dead) or isinstance(look, Dead):
        return Verdict(DeliveryStatus.DEAD, dead_reason=str(DeadReason.TOO_OLD))
    return Verdict(status, expected.at, due_at=look.at, held_reason=str(outcome.error_kind))


def result_row(held: Held, outcome: Outcome, verdict: Verdict, now: datetime) -> ResultRow:
    """The row that delivery.store.record writes; texts are made fit for PostgreSQL, which holds no NUL."""
    return ResultRow(
        delivery_id=held.loaded.id,
        dispatch_id=held.batch.dispatch_id,
        token=held.batch.token,
        status=verdict.status.value,
        next_attempt_at=verdict.retry_at,
        due_at=verdict.due_at,
        held_reason=verdict.held_reason,
        dead_reason=verdict.dead_reason,
        started_at=datetime.fromtimestamp(outcome.started_at, tz=UTC) if outcome.started_at else now,
        duration_ms=outcome.duration_ms,
        outcome=outcome.kind.value if outcome.spends_attempt else OutcomeKind.DEFERRED.value,
        status_code=outcome.status_code,
        error_kind=outcome.error_kind.value,
        error=outcome.error.replace("\0", ""),
        response_headers=_as_json(outcome.response_headers),
        response_body=outcome.response_body,
        remote_address=outcome.remote_address,
        latency_ms=_latency_ms(held, verdict, now),
    )


def _as_json(headers: tuple[tuple[str, str], ...]) -> str:
    """Without NUL, taken out before it is escaped: a receiver may also send a backslash and the letters u0000."""
    return orjson.dumps([(name.replace("\0", ""), value.replace("\0", "")) for name, value in headers]).decode()


def _latency_ms(held: Held, verdict: Verdict, now: datetime) -> float | None:
    """Acceptance to 2xx; a replay's would say when somebody pressed a button."""
    if verdict.status is not DeliveryStatus.DELIVERED or held.replay:
        return None
    return max((now - id_time(held.loaded.id)).total_seconds() * 1000, 0.0)
