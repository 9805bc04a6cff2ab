"""The recorder: one thread that writes outcomes in groups, with all that follows from them, and keeps leases alive.

Groups are short in time and number: what a killed worker leaves unrecorded, and so sends twice, stays small.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from uuid import UUID

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from delivery import hints, spans, store
from delivery.health.breakers import HealthTally
from delivery.outcome import Outcome
from delivery.results import judge, result_row
from delivery.store import Hint, ResultRow
from delivery.worker import duplicates
from delivery.worker.consequences import Judged, draw_consequences, has_consequences
from delivery.worker.held import UNRECORDED_MOST, Batch, Held
from eventcenter.store import beat
from eventcenter.tracing import switch as tracing
from eventcenter.worker import BEAT_EVERY_S, instance_name, process_shard

logger = logging.getLogger(__name__)

GROUP_MOST = 64  # results a transaction
# A statement for one result costs PostgreSQL 1.4 ms, for a hundred 4 ms: a little patience pays (design §7: 20 ms).
LINGER_S = 0.02
# At a low rate a shorter wait gathers nearly as many, and leaves fewer to be sent twice when this process is killed.
SHORT_LINGER_S = 0.006
BUSY_GROUP = 16  # a group of so many: the rate is high
AFTER_ERROR_S = 0.5
NOT_STORABLE = "The receiver's answer could not be stored."

Item = tuple[Held, Outcome]


class Recorder:
    """`put` is cheap and thread-safe. `stop` writes all that was put before it, then ends the thread.

    `keep_alive` are called about every two seconds on the recorder's thread.
    """

    def __init__(self, tally: HealthTally, keep_alive: Sequence[Callable[[], None]] = (), role: str = "worker") -> None:
        self._role = role
        self._tally = tally
        self._others = tuple(keep_alive)
        self._queue: SimpleQueue[Item | Batch | None] = SimpleQueue()
        self._open: set[Batch] = set()  # by identity: after a lost lease this process may hold a dispatch once more
        self._lock = threading.Lock()
        self._kept_at = float("-inf")
        self._taken: list[Item | Batch | None] = []
        self._linger_s = SHORT_LINGER_S
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def track(self, batch: Batch) -> None:
        """Keep the batch's lease alive until all its results are recorded. An empty one ends at once."""
        with self._lock:
            self._open.add(batch)
        if not batch.remaining:
            self._queue.put(batch)

    def abandon(self, batch: Batch) -> None:
        """Renew its lease no longer. Results of it that come before somebody else takes it over still count."""
        self._leave([batch])

    def put(self, held: Held, outcome: Outcome) -> None:
        self._queue.put((held, outcome))

    @property
    def unrecorded(self) -> int:
        """Outcomes that were put and are not in the database."""
        return self._queue.qsize() + len(self._taken)

    @property
    def open_batches(self) -> int:
        """Batches whose leases are kept alive."""
        return len(self._open)

    def has_room(self) -> bool:
        """Whether another request may be started; asked before each, on the transports' threads."""
        return self._queue.qsize() + len(self._taken) < UNRECORDED_MOST

    def stop(self, timeout_s: float) -> None:
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            self._take()
            stopping = None in self._taken
            items = [item for item in self._taken if isinstance(item, tuple)]
            empties = [item for item in self._taken if isinstance(item, Batch)]
            if items or empties:
                self._note(items)
                self._record_until_done(items, empties)
            self._taken = []
            self._keep_alive()
        connection.close()

    def _take(self) -> None:
        """What is there, after a first one and LINGER_S; nothing when none came for a while."""
        with suppress(Empty):
            self._taken.append(self._queue.get(timeout=BEAT_EVERY_S / 2))
            ends_at = time.monotonic() + self._linger_s
            while len(self._taken) < GROUP_MOST and self._taken[-1] is not None:
                wait_s = ends_at - time.monotonic()
                self._taken.append(self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait())

        self._linger_s = LINGER_S if len(self._taken) >= BUSY_GROUP else SHORT_LINGER_S

    def _note(self, items: Sequence[Item]) -> None:
        for held, outcome in items:
            loaded = held.loaded
            self._tally.add(loaded.endpoint_id, loaded.tenant_id, loaded.id, outcome)

    def _record_until_done(self, items: list[Item], empties: list[Batch]) -> None:
        """A database that is away for a moment costs nothing but time: what was sent must be recorded, or is sent again."""
        while True:
            try:
                self._record(items, empties)
                return
            except (OperationalError, InterfaceError):
                logger.exception("recorder.database_lost", extra={"waiting": len(items)})
                connection.close()
                time.sleep(AFTER_ERROR_S)
            except Exception:  # the loop's top: whatever one result holds, this thread and the other results go on
                logger.exception("recorder.group_refused", extra={"deliveries": [str(h.loaded.id) for h, _ in items]})
                self._record_parts(items, empties)
                return

    def _record_parts(self, items: list[Item], empties: list[Batch]) -> None:
        """Each alone; one that is refused even so without what its receiver sent; else its dispatch's lease runs out."""
        if len(items) + len(empties) > 1:
            for item in items:
                self._record_until_done([item], [])
            for batch in empties:
                self._record_until_done([], [batch])
            return
        for held, outcome in items:
            bare = replace(outcome, error=NOT_STORABLE, response_headers=(), response_body=b"", remote_address="")
            if bare != outcome:
                self._record_until_done([(held, bare)], [])
                return
        self._leave([held.batch for held, _ in items] + empties)

    def _record(self, items: list[Item], empties: list[Batch]) -> None:
        now = timezone.now()
        judged = [Judged(held, outcome, judge(held, outcome, now, random.random())) for held, outcome in items]  # noqa: S311 - jitter
        rows = [result_row(held, outcome, verdict, now) for held, outcome, verdict in judged]
        done = self._finished([held for held, _ in items]) + empties
        finished = [(batch.dispatch_id, batch.token) for batch in done]
        moved: set[UUID] = set()
        to_publish: list[Hint] = []
        more = [item for item in judged if has_consequences(item)]
        lost_before = any(held.batch.lost for held, _ in items)
        if rows and (more or lost_before or self._tally.due()):
            with transaction.atomic():
                moved = store.record(rows, finished, instance_name(), process_shard())
                if lost_before:
                    duplicates.note_resent((item for item in judged if item.held.loaded.id in moved), process_shard())
                self._tally.write(now)  # first: the sweep, too, locks breakers before endpoints
                to_publish = draw_consequences([item for item in more if item.held.loaded.id in moved], now)
            self._tally.settle(now)
        elif rows:
            moved = store.record(rows, finished, instance_name(), process_shard())
        else:
            store.delete_dispatches(finished)
        self._forget(items, done)
        hints.publish(to_publish)
        if len(moved) < len(items):
            pairs = zip(judged, rows, strict=True)
            self._note_without_effect([pair for pair in pairs if pair[1].delivery_id not in moved])
        if tracing.is_on():
            spans.note_attempts(judged)

    def _note_without_effect(self, results: Sequence[tuple[Judged, ResultRow]]) -> None:
        """What was recorded stands, and is not recorded again because of this."""
        logger.warning("recorder.results_without_effect", extra={"count": len(results)})
        try:
            duplicates.note_late(results, process_shard())
        except Error:
            logger.exception("recorder.duplicates_not_counted", extra={"count": len(results)})
            connection.close()

    def _finished(self, helds: Sequence[Held]) -> list[Batch]:
        """The batches that this group completes. Nothing is changed yet: the transaction may have to be tried again."""
        counts = Counter(held.batch for held in helds)
        return [batch for batch, count in counts.items() if batch.remaining == count]

    def _forget(self, items: Sequence[Item], done: Sequence[Batch]) -> None:
        for held, _ in items:
            held.batch.remaining -= 1
        self._leave(done)

    def _leave(self, batches: Sequence[Batch]) -> None:
        with self._lock:
            self._open.difference_update(batches)

    def _keep_alive(self) -> None:
        if time.monotonic() - self._kept_at < BEAT_EVERY_S:
            return
        self._kept_at = time.monotonic()
        for call in self._others:
            call()
        try:
            beat(self._role, instance_name())
            self._renew()
        except (OperationalError, InterfaceError):
            logger.warning("recorder.keep_alive_failed", exc_info=True)
            connection.close()

    def _renew(self) -> None:
        with self._lock:
            held = list(self._open)
        if not held:
            return
        kept = store.renew([(batch.dispatch_id, batch.token) for batch in held], settings.DISPATCH_LEASE_S)
        lost = [batch for batch in held if (batch.dispatch_id, batch.token) not in kept]
        self._leave(lost)
        for batch in lost:
            logger.warning("dispatch.lost", extra={"dispatch_id": batch.dispatch_id})
