"""The one way by which ended deliveries begin a new round, for one by hand and for jobs alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from delivery import spans
from delivery.ingest import UNCLAIMED_LEASE_S
from delivery.order import ordering
from delivery.planning import DISPATCH_DELIVERIES
from delivery.replays import store
from delivery.store import Hint, NewDispatch, insert_dispatches
from eventcenter.log_context import serving
from eventcenter.tracing import switch as tracing
from subscriptions.models import Endpoint, EndpointState

ENDPOINT_DELETED = "Its endpoint was deleted."
ENDPOINT_DISABLED = "Its endpoint is disabled, so a replay would end as dead at once. Enable the endpoint first."
EVENT_EXPIRED = "Its event's days of retention are over, so there is nothing left to send."
OPEN = "It is open: it has not ended yet, so there is nothing to replay."


def refusal_of(endpoint_state: str | None, has_event: bool) -> str:
    """Why an ended delivery cannot be sent again as things stand; "" when it can. No state: the endpoint is gone. Pure."""
    if endpoint_state is None:
        return ENDPOINT_DELETED
    if endpoint_state == EndpointState.DISABLED:
        return ENDPOINT_DISABLED
    return "" if has_event else EVENT_EXPIRED


def endpoint_states(endpoint_ids: Sequence[int]) -> Mapping[int, str]:
    return dict(Endpoint.objects.filter(pk__in=set(endpoint_ids)).values_list("pk", "state"))


def requeue(ids: Sequence[UUID], lane: str, now: datetime) -> tuple[int, list[Hint]]:
    """In the caller's transaction: how many had ended and are pending again, and the hints to publish after its commit.

    Those that somebody else moved first are left alone. Of an ordered subscription's, those that stand behind another one
    wait for their turn: they count as moved, and have no dispatch yet.
    """
    assert connection.in_atomic_block, "the deliveries and their dispatches commit together"
    moved = store.requeue(ids, now)
    if tracing.is_on():
        replayed, cause = store.replayed(moved), serving().trace
        transaction.on_commit(lambda: spans.note_replays(replayed, cause), robust=True)
    going = moved - ordering.on_replayed(list(moved))
    ready = [delivery_id for delivery_id in ids if delivery_id in going]
    starts = range(0, len(ready), DISPATCH_DELIVERIES)
    batches = [NewDispatch(lane, ready[start : start + DISPATCH_DELIVERIES]) for start in starts]
    return len(moved), insert_dispatches(batches, UNCLAIMED_LEASE_S, now)
