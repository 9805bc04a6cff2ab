"""What follows from results besides their own rows, in the same transaction: retries, disabled endpoints, news of deaths,
and the next delivery of an ordered key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from delivery import failures, store
from delivery.approvals import escalation
from delivery.approvals.escalation import Death
from delivery.health import endpoints
from delivery.ingest import UNCLAIMED_LEASE_S
from delivery.models import DispatchLane
from delivery.order import ordering
from delivery.outcome import Outcome, OutcomeKind
from delivery.planning import DISPATCH_DELIVERIES
from delivery.results import Verdict
from delivery.states import OPEN_STATUSES, DeliveryStatus
from delivery.store import Hint, NewDispatch
from delivery.worker.held import Held
from eventcenter.envelope import Envelope

RETRY_GROUP_S = 1.0  # near retries whose times fall into one second share a dispatch


class Judged(NamedTuple):
    held: Held
    outcome: Outcome
    verdict: Verdict


def has_consequences(item: Judged) -> bool:
    held, _, verdict = item
    return (
        verdict.by_countdown
        or verdict.status is DeliveryStatus.DEAD
        or (held.ordering is not None and verdict.status not in OPEN_STATUSES)
    )


def draw_consequences(judged: Sequence[Judged], now: datetime) -> list[Hint]:
    """For results that moved their deliveries. Returns the hints to publish after the commit."""
    made = _retries(judged)
    ended = [item for item in judged if item.verdict.status not in OPEN_STATUSES]
    made += _next_in_order(ended)
    dead = [item for item in ended if item.verdict.status is DeliveryStatus.DEAD]
    news = _announce(dead, now)
    for item in ended:
        if item.outcome.kind is OutcomeKind.GONE:
            endpoints.disable_gone(item.held.loaded.endpoint_id, item.held.loaded.id)
    _note_escalated(dead, news, now)
    return store.insert_dispatches(made, UNCLAIMED_LEASE_S, now) if made else []


def _retries(judged: Sequence[Judged]) -> list[NewDispatch]:
    """One dispatch for those that fall due in the same second; it starts with the last of them."""
    groups: dict[int, list[tuple[datetime, UUID]]] = {}
    for held, _, verdict in judged:
        if verdict.by_countdown and verdict.retry_at:
            second = int(verdict.retry_at.timestamp() / RETRY_GROUP_S)
            groups.setdefault(second, []).append((verdict.retry_at, held.loaded.id))
    return [
        NewDispatch(DispatchLane.RETRY.value, [delivery_id for _, delivery_id in group], max(at for at, _ in group))
        for group in groups.values()
    ]


def _next_in_order(ended: Sequence[Judged]) -> list[NewDispatch]:
    ordered = {item.held.loaded.subscription_id: item.held.ordering for item in ended if item.held.ordering}
    if not ordered:
        return []
    rows = [
        ordering.Ended(item.held.loaded.id, item.held.loaded.subscription_id, item.verdict.status)
        for item in ended
        if item.held.ordering
    ]
    heads = ordering.finish(rows, ordered)
    return [
        NewDispatch(DispatchLane.FAST.value, heads[start : start + DISPATCH_DELIVERIES])
        for start in range(0, len(heads), DISPATCH_DELIVERIES)
    ]


def _note_escalated(dead: Sequence[Judged], news: Mapping[UUID, Envelope], now: datetime) -> None:
    """Last, so that the alert of a 410 is there."""
    if dead:
        loaded = [item.held.loaded for item in dead]
        escalation.note([Death(row.id, row.tenant_id, row.endpoint_id, row.replays, now) for row in loaded], news)


def _announce(dead: Sequence[Judged], now: datetime) -> dict[UUID, Envelope]:
    return failures.announce(
        [
            failures.DeadDelivery(
                delivery_id=held.loaded.id,
                replays=held.loaded.replays,
                reason=verdict.dead_reason,
                attempts=held.number if outcome.spends_attempt else held.loaded.attempts,
                status_code=outcome.status_code,
                error=outcome.error,
                at=now,
            )
            for held, outcome, verdict in dead
        ]
    )
