"""Deliveries of ordered subscriptions: one at a time of each partition key, in the order of the bus.

The lines. OrderedDelivery holds every delivery of an ordered subscription from its plan to its end; those of one
subscription and partition key are a line, and the lowest `seq` is its head. Only the head is ever dispatched: all others
are parked (held_reason "ordering"), and nothing but this module lets them go. The head may itself be held (breaker, rate
limit, paused endpoint, a later retry); it stays the head, and nothing of its line passes.

The order is that of the ingest, which is the order of the Kafka partition. Whatever changes a line has its lock, from
before it looks to the end of its transaction. Without one, an ingest that saw the head and parked the next, and a worker
that recorded the head's end and did not see the next yet, would each leave the dispatch to the other: nobody would make
it. Row locks do not do: a line without a row has none to lock. Statements that hold a line's lock change only deliveries
that are parked, and who ends a parked delivery (`lock` first) or one on its way does not wait for them: no deadlock.

What is promised: a delivery is not sent before the end of the one ahead of it was recorded. So a receiver accepts each
line's deliveries in order. What it may see besides, as every at-least-once delivery does: one that it accepted comes once
more, when a worker died between the send and the record; the repeat has the same webhook-id, and it can come late only
from a worker that stood still for longer than its lease in the middle of a send, since a lease that is renewed outlasts
the longest send (delivery.worker.process.check_lease). And a try that timed out counts as failed here, whatever the
receiver does with it afterwards.

Ordering that is switched on concerns the events ingested from then on: what is open by then stands in no line, and is
not waited for. Switched off, or with its subscription deleted, the lines are dissolved within seconds (`wake`).

All functions join the caller's transaction and do no network I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from delivery.order import ordering_store as store
from delivery.order.ordering_store import Ordered, Place
from delivery.outcome import ErrorKind
from delivery.states import OPEN_STATUSES, DeliveryStatus
from subscriptions.models import Ordering, Subscription

__all__ = ["Ended", "Ordered", "enqueue", "finish", "lock", "on_replayed", "orderings_of", "step_aside", "wake"]

# Of each line in the first look, and in the last one: the dead and gone at a line's beginning are passed in few statements.
FIRST_LOOK, LAST_LOOK = 1, 1_000
# In one pass of the sweep: about 20 ms of PostgreSQL's time.
WAKE_KEYS_MOST = 1_000
DISSOLVE_MOST = 1_000
_BEGINNING = UUID(int=0)


class Ended(NamedTuple):
    """A delivery that came to its end: delivered, dead or cancelled."""

    delivery_id: UUID
    subscription_id: int
    status: str


Orderings = Mapping[int, str]  # subscription id → "block" or "skip"; the others are not ordered


def enqueue(items: Sequence[Ordered]) -> set[UUID]:
    """Put freshly planned deliveries into their lines, in the order given.

    Returns the ids that must wait: the caller inserts those parked, and dispatches the others.
    """
    if not items:
        return set()
    store.lock(item.order_key for item in items)
    return store.join(items)


def finish(ended: Sequence[Ended], orderings: Orderings) -> list[UUID]:
    """Deliveries of ordered subscriptions ended in this transaction. Returns the ones whose turn it is now.

    Those are no longer parked: the caller dispatches them in this transaction. A dead one stays the head of its line
    where its subscription says "block". Costs one index look-up when none of them stands in a line.
    """
    keys = lock([item.delivery_id for item in ended])
    if not keys:
        return []
    store.leave([item.delivery_id for item in ended if _makes_way(item.status, item.subscription_id, orderings)])
    return advance(keys, orderings)


def lock(ids: Sequence[UUID]) -> list[UUID]:
    """Lock the lines in which these deliveries stand, and return their keys.

    Who ends a delivery that is on its way ends it first and calls `finish`; who ends one that may be parked (a cancel by
    hand) calls this before, or the two could wait for each other.
    """
    keys = store.keys_of(ids)
    if keys:
        store.lock(keys)
    return keys


def on_replayed(ids: Sequence[UUID]) -> set[UUID]:
    """Ended deliveries were opened again in this transaction. Returns those that must wait; they are parked here.

    A dead head may go: its line goes on after it. One that stands in no line any more goes at once, beside the others:
    what was behind it has been sent.
    """
    if not lock(ids):
        return set()
    waiting = store.behind(ids)
    if waiting:
        store.park(waiting)
    return set(waiting)


def step_aside(delivery_id: UUID, orderings: Orderings) -> list[UUID] | None:
    """A dead delivery leaves its line, whatever its subscription says. None: it stands in none. Returns as `finish`."""
    keys = lock([delivery_id])
    if not keys:
        return None
    store.leave([delivery_id])
    return advance(keys, orderings)


def advance(keys: Iterable[UUID], orderings: Orderings) -> list[UUID]:
    """See to it that the head of each of these lines, locked by the caller, is on its way. Returns those released.

    Rows whose delivery has ended or is no more are taken out, except a dead one that blocks.
    """
    released: list[UUID] = []
    looking, depth = list(keys), FIRST_LOOK
    while looking:
        lines: dict[UUID, list[Place]] = {}
        for place in store.first(looking, depth):
            lines.setdefault(place.order_key, []).append(place)
        over, heads = _parted(lines.values(), orderings)
        if over:
            store.leave([place.delivery_id for place in over])
        parked = [head.delivery_id for head in heads if head.held_reason == ErrorKind.ORDERING]
        if parked:
            released += store.release(parked)
        looking = list({place.order_key for place in over} - {head.order_key for head in heads})
        depth = min(depth * 10, LAST_LOOK)
    return released


def _parted(lines: Iterable[Sequence[Place]], orderings: Orderings) -> tuple[list[Place], list[Place]]:
    """(those at the lines' beginnings that are over, the first of each line that is not)."""
    over: list[Place] = []
    heads: list[Place] = []
    for line in lines:
        for place in line:
            if not _makes_way(place.status, place.subscription_id, orderings):
                heads.append(place)
                break
            over.append(place)
    return over, heads


def _makes_way(status: str | None, subscription_id: int, orderings: Orderings) -> bool:
    """Whether a delivery with this status stands in nobody's way. None: it is past its retention."""
    if status == DeliveryStatus.DEAD:
        return orderings.get(subscription_id) != Ordering.BLOCK
    return status not in OPEN_STATUSES


def orderings_of(subscription_ids: Iterable[int]) -> dict[int, str]:
    """As the database has it now, of the ordered ones among them."""
    found = Subscription.everything.filter(pk__in=set(subscription_ids)).exclude(ordering=Ordering.NONE)
    return dict(found.values_list("pk", "ordering"))


class Watch:
    """Looks at the lines in turn, WAKE_KEYS_MOST in each pass, for what a change of settings or a crash left behind."""

    def __init__(self) -> None:
        self._after = _BEGINNING

    def wake(self) -> list[UUID]:
        keys = self._next_keys()
        if not keys:
            return []
        heads = store.first(keys, FIRST_LOOK)
        # Read here and not from what a process holds: a line is younger than its subscription's ordering, and one that
        # was switched on a moment ago must not be taken for one that was switched off.
        orderings = orderings_of(head.subscription_id for head in heads)
        off = {head.order_key for head in heads if head.subscription_id not in orderings}
        stuck = {head.order_key for head in heads if _is_stuck(head, orderings)} - off
        if not off and not stuck:
            return []
        store.lock(off | stuck)
        let_go = store.dissolve(list(off), DISSOLVE_MOST) if off else []
        return (store.release(let_go) if let_go else []) + advance(stuck, orderings)

    def _next_keys(self) -> list[UUID]:
        """From where the last pass ended; round to the beginning, so that few lines are all seen in every pass."""
        keys = store.keys_after(self._after, WAKE_KEYS_MOST)
        if len(keys) < WAKE_KEYS_MOST and self._after != _BEGINNING:
            keys += [key for key in store.keys_after(_BEGINNING, WAKE_KEYS_MOST - len(keys)) if key not in set(keys)]
        self._after = keys[-1] if len(keys) == WAKE_KEYS_MOST else _BEGINNING
        return keys


def _is_stuck(head: Place, orderings: Orderings) -> bool:
    return head.held_reason == ErrorKind.ORDERING or _makes_way(head.status, head.subscription_id, orderings)


_watch = Watch()


def wake() -> list[UUID]:
    """The sweep's safety net: lines that stand still, and lines of subscriptions that are not ordered any more.

    Returns deliveries that are no longer parked: the caller dispatches them in this transaction. One thread a process.
    """
    return _watch.wake()
