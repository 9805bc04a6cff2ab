"""The SQL of the deliveries list: a look through a bounded number of rows, newest first, that ends early when it has enough.

Indexes, by what is wanted: of dead ones delivery_delivery_dead or …_dead_all, of cancelled ones …_cancelled or
…_cancelled_all, of open ones …_open or …_open_tenant and the ids in the dispatches; of a subscription …_subscription,
of a tenant …_tenant, else the primary key. Where neither a tenant nor a few of them are given, the tenant is asked of each row.

Statements are planned anew at each call (prepare=False): a plan made for any limit could sort a whole table.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from delivery.console.wanted import (
    Branch,
    Codes,
    Part,
    Span,
    Wanted,
    branches_of,
    millisecond_of,
    parts_of,
)
from delivery.models import DispatchLane
from delivery.states import OPEN_STATUSES, DeliveryStatus
from eventcenter.store import cursor

# Neighbours by id share pages of the table, so that many are looked through in little time (20,000: 10 ms); rows of a rare
# kind or of one tenant lie on a page each. An event is one more probe into another table.
WALK_LOOKS = 20_000
SPARSE_LOOKS = 5_000
EVENT_PROBES = 2_000
# Beyond so many outstanding ids there is a backlog: then nearly all of the newest deliveries are open.
WAITING_MOST = 10_000
WAITING_DISPATCHES_MOST = 2_000
FRESH_LOOKS = 1_000

_PARTS: dict[Part, LiteralString] = {
    Part.ALL: "",
    Part.DEAD: " AND dead_at IS NOT NULL",
    Part.CANCELLED: " AND cancelled_at IS NOT NULL",
    Part.OPEN: " AND (due_at IS NOT NULL OR held_reason <> '')",
}
# What is on its way to a worker: in a dispatch, or planned a moment ago.
_ON_ITS_WAY: LiteralString = " AND due_at IS NULL AND held_reason = ''"

_BRANCH = sql.SQL("""
SELECT {columns} FROM delivery_delivery WHERE id > %(after)s AND id < %(before)s{narrow} ORDER BY id {order} LIMIT {looks}
""")
_FRESH = sql.SQL("""
SELECT {kept} FROM ({inner}) newest WHERE status = ANY(%(open)s) AND NOT id = ANY(%(waiting)s){on_its_way}
""")
LOOK = sql.SQL("""
WITH looked AS MATERIALIZED ({source}), kept AS MATERIALIZED (SELECT {kept} FROM looked WHERE {rows}{probes}),
fits AS MATERIALIZED (SELECT id FROM kept WHERE {event} LIMIT {most}),
reached AS MATERIALIZED (
    SELECT CASE WHEN (SELECT count(*) FROM fits) = {most} THEN NULL
        WHEN (SELECT count(*) FROM kept) = {probes_most} THEN (SELECT id FROM kept ORDER BY id {against} LIMIT 1)
        WHEN (SELECT count(*) FROM looked) = {looks} THEN (SELECT id FROM looked ORDER BY id {against} LIMIT 1) END AS id
)
SELECT ARRAY(SELECT id FROM fits LIMIT {shown}), (SELECT count(*) FROM fits), (SELECT id FROM reached),
    CASE WHEN (SELECT id FROM reached) IS NOT NULL
        THEN (SELECT count(*) FROM looked WHERE id {from_there} (SELECT id FROM reached)) END
""")
# As a scalar it stays one index probe a row: as a join it could become a scan of all events.
_EVENT = sql.SQL("(SELECT {asked} FROM eventcenter_event e WHERE e.id = kept.event_id)")
# Index: primary key, backwards. New dispatches carry the newest deliveries.
WAITING = sql.SQL("""
WITH newest AS MATERIALIZED (SELECT delivery_ids FROM delivery_dispatch {lanes} ORDER BY id DESC LIMIT {dispatches})
SELECT (SELECT count(*) FROM newest), ARRAY(SELECT unnest(delivery_ids) FROM newest LIMIT {most})
""")
# Index: primary key of one day's partition for each event: an event and its deliveries share a millisecond. The limit inside
# keeps it a probe an event: without one it could become a join with all deliveries of those days.
OF_EVENTS: LiteralString = """
SELECT d.id FROM unnest(%(events)s::uuid[], %(firsts)s::uuid[], %(lasts)s::uuid[]) AS e (id, first, last)
CROSS JOIN LATERAL (
    SELECT id FROM delivery_delivery WHERE id >= e.first AND id <= e.last AND event_id = e.id
        AND id >= %(floor)s AND id <= %(ceiling)s ORDER BY id LIMIT %(most)s
) d LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Look:
    """`ids`: the first that fit, in the look's order; `found`: how many fit, up to what was asked for.

    `reached`: the last id that it has dealt with, after `looked` rows; None: enough was found, or nothing is left.
    """

    ids: list[UUID]
    found: int
    reached: UUID | None = None
    looked: int = 0


NOTHING = Look([], 0)


def look(wanted: Wanted, span: Span, shown: int, most: int) -> Look:
    """Find up to `most` deliveries in `span`, and give the first `shown` of them."""
    if wanted.tenant_ids == frozenset():
        return NOTHING
    parts = parts_of(wanted.statuses)
    waiting: list[UUID] = []
    if Part.OPEN in parts:
        known = outstanding(wanted.statuses)
        parts, waiting = (parts, known) if known is not None else ((Part.ALL,), [])
    branches = branches_of(wanted, parts)
    made = _Statement(
        wanted,
        span,
        scoped=all(branch.tenant_id is not None for branch in branches),
        of_subscription=all(branch.subscription_id is not None for branch in branches),
        ended=Part.OPEN not in parts and Part.ALL not in parts,
    )
    made.looks = WALK_LOOKS if branches == (Branch(Part.ALL),) or made.is_plain else SPARSE_LOOKS
    sources = [made.branch(branch) for branch in branches]
    if Part.OPEN in parts:
        sources += [made.on_their_way(waiting, tenant) for tenant in dict.fromkeys(item.tenant_id for item in branches)]
        sources += [made.fresh(waiting, tenant) for tenant in dict.fromkeys(item.tenant_id for item in branches)]
    return made.run(sources, shown, most)


def look_among(ids: Collection[UUID], wanted: Wanted, span: Span, shown: int, most: int) -> Look:
    """Like `look`, of these alone."""
    if not ids or wanted.tenant_ids == frozenset():
        return NOTHING
    made = _Statement(wanted, span)
    made.looks = len(ids) + 1
    return made.run([made.among(ids)], shown, most)


def outstanding(statuses: Sequence[str] = ()) -> list[UUID] | None:
    """The ids in dispatches; None: too many to name. Later attempts are in the retry lane alone."""
    only_retries = tuple(statuses) == (DeliveryStatus.RETRYING.value,)
    lanes = sql.SQL("WHERE lane = {}").format(DispatchLane.RETRY.value) if only_retries else sql.SQL("")
    dispatches, most = sql.Literal(WAITING_DISPATCHES_MOST + 1), sql.Literal(WAITING_MOST + 1)
    with cursor() as cur:
        statement = WAITING.format(lanes=lanes, dispatches=dispatches, most=most)
        row = cur.execute(statement, prepare=False, binary=True).fetchone()
    assert row is not None
    count, ids = row
    return None if count > WAITING_DISPATCHES_MOST or len(ids) > WAITING_MOST else ids


def of_events(event_ids: Sequence[UUID], most: int) -> list[UUID]:
    """The ids of their deliveries, up to `most`, in no order."""
    if not event_ids:
        return []
    firsts, lasts = zip(*map(millisecond_of, event_ids), strict=True)
    parameters = {
        "events": list(event_ids),
        "firsts": list(firsts),
        "lasts": list(lasts),
        "floor": min(firsts),
        "ceiling": max(lasts),
        "most": most,
    }
    with cursor() as cur:
        return [row[0] for row in cur.execute(OF_EVENTS, parameters, prepare=False, binary=True)]


class _Statement:
    """One LOOK, put together. What its sources see to is not asked of the rows, so that an index alone may answer.

    `scoped`: they have rows of the wanted tenants alone; `of_subscription`: of the wanted subscriptions; `ended`: rows in
    the wanted states.
    """

    looks = SPARSE_LOOKS

    def __init__(
        self, wanted: Wanted, span: Span, *, scoped: bool = False, of_subscription: bool = False, ended: bool = False
    ) -> None:
        self.wanted, self.span = wanted, span
        self.scoped, self.of_subscription, self.ended = scoped, of_subscription, ended
        self.parameters: dict[str, object] = {"after": span.after, "before": span.before}
        self.columns = ["id", *(["event_id"] if wanted.asks_event else [])]
        self.rows = self._rows()

    @property
    def is_plain(self) -> bool:
        """Nothing is asked of the rows."""
        return not self.rows and not self.wanted.asks_event

    def branch(self, branch: Branch) -> sql.Composed:
        narrow = sql.SQL(_PARTS[branch.part]) + self._of_tenant(branch.tenant_id)
        if branch.subscription_id:
            narrow += sql.SQL(" AND subscription_id = {}").format(branch.subscription_id)
        return self._branch(narrow, self.looks)

    def on_their_way(self, ids: Collection[UUID], tenant_id: int | None) -> sql.Composed:
        self.parameters["waiting"] = list(ids)
        narrow = sql.SQL(" AND id = ANY(%(waiting)s)" + _ON_ITS_WAY) + self._of_tenant(tenant_id)
        return self._branch(narrow, self.looks)

    def fresh(self, ids: Collection[UUID], tenant_id: int | None) -> sql.Composed:
        """The newest that are in none of the dispatches that were read."""
        self.parameters["open"] = [status for status in self.wanted.statuses if status in OPEN_STATUSES]
        inner = self._branch(self._of_tenant(tenant_id), FRESH_LOOKS, extra=("due_at", "held_reason", "status"))
        kept = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        return _FRESH.format(kept=kept, inner=inner, on_its_way=sql.SQL(_ON_ITS_WAY))

    def among(self, ids: Collection[UUID]) -> sql.Composed:
        self.parameters["among"] = list(ids)
        return self._branch(sql.SQL(" AND id = ANY(%(among)s)") + self._of_tenant(None), self.looks)

    def run(self, sources: Sequence[sql.Composed], shown: int, most: int) -> Look:
        asks, along = self.wanted.asks_event, self._along()
        statement = LOOK.format(
            source=self._merged(sources),
            kept=sql.SQL("id, event_id" if asks else "id"),
            rows=sql.SQL(" AND ").join(self.rows) if self.rows else sql.SQL("true"),
            probes=sql.SQL(" LIMIT {}").format(EVENT_PROBES) if asks else sql.SQL(""),
            probes_most=sql.Literal(EVENT_PROBES if asks else -1),
            event=self._event(),
            most=sql.Literal(most),
            shown=sql.Literal(shown),
            looks=sql.Literal(self.looks),
            against=sql.SQL("DESC" if self.span.ascending else "ASC"),
            from_there=sql.SQL("<=" if self.span.ascending else ">="),
        )
        with cursor() as cur:
            row = cur.execute(statement, self.parameters, prepare=False, binary=True).fetchone()
        assert row is not None
        ids, found, reached, looked = row
        return Look(sorted(ids, reverse=along == "DESC"), found, reached, looked or 0)

    def _along(self) -> LiteralString:
        return "ASC" if self.span.ascending else "DESC"

    def _merged(self, sources: Sequence[sql.Composed]) -> sql.Composable:
        if len(sources) == 1:
            return sources[0]
        union = sql.SQL(" UNION ALL ").join(sql.SQL("({})").format(source) for source in sources)
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        return sql.SQL("SELECT {columns} FROM ({union}) merged ORDER BY id {order} LIMIT {looks}").format(
            columns=columns, union=union, order=sql.SQL(self._along()), looks=sql.Literal(self.looks)
        )

    def _branch(self, narrow: sql.Composable, looks: int, extra: Sequence[str] = ()) -> sql.Composed:
        columns = sql.SQL(", ").join(map(sql.Identifier, dict.fromkeys([*self.columns, *extra])))
        order = sql.SQL(self._along())
        return _BRANCH.format(columns=columns, narrow=narrow, order=order, looks=sql.Literal(looks))

    def _of_tenant(self, tenant_id: int | None) -> sql.Composable:
        return sql.SQL(" AND tenant_id = {}").format(tenant_id) if tenant_id is not None else sql.SQL("")

    def _rows(self) -> list[sql.Composable]:
        """What is asked of each row; also notes which columns that takes."""
        wanted, asked = self.wanted, []
        if wanted.tenant_ids is not None and not self.scoped:
            asked.append(self._ask("tenant_id", "tenant_id = ANY(%(tenants)s)", tenants=sorted(wanted.tenant_ids)))
        if wanted.endpoint_id:
            asked.append(self._ask("endpoint_id", "endpoint_id = %(endpoint)s", endpoint=wanted.endpoint_id))
        if wanted.subscription_ids and not wanted.endpoint_id and not self.of_subscription:
            subscriptions = list(wanted.subscription_ids)
            asked.append(self._ask("subscription_id", "subscription_id = ANY(%(of)s)", of=subscriptions))
        if wanted.statuses and not self.ended:
            asked.append(self._ask("status", "status = ANY(%(statuses)s)", statuses=list(wanted.statuses)))
        if wanted.codes:
            asked.append(self._code(wanted.codes))
        if wanted.error:
            asked.append(self._ask("last_error_kind", "last_error_kind = %(error)s", error=wanted.error))
        return asked

    def _code(self, codes: Codes) -> sql.Composable:
        if codes.low is None:
            return self._ask("last_status_code", "last_status_code IS NULL")
        between: LiteralString = "last_status_code BETWEEN %(low)s AND %(high)s"
        return self._ask("last_status_code", between, low=codes.low, high=codes.high)

    def _ask(self, column: str, condition: LiteralString, **parameters: object) -> sql.Composable:
        self.columns.append(column)
        self.parameters |= parameters
        return sql.SQL(condition)

    def _event(self) -> sql.Composable:
        asked = []
        if self.wanted.type:
            asked.append(sql.SQL("e.type = %(type)s"))
            self.parameters["type"] = self.wanted.type
        if self.wanted.tag:
            asked.append(sql.SQL("%(tag)s = ANY(e.tags)"))
            self.parameters["tag"] = self.wanted.tag
        return _EVENT.format(asked=sql.SQL(" AND ").join(asked)) if asked else sql.SQL("true")
