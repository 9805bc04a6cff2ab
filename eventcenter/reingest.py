"""Re-ingest: a message that was kept aside goes to the bus once more, by the outbox, like any accepted event.

Who decides is the consumer, as ever; what is judged here beforehand is judged by the same `decode` (docs/adr/0026).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit.trail import Actor, record
from eventcenter import registry, row_security, store
from eventcenter.decode import Candidate, Rejection, decode
from eventcenter.envelope import partition_key
from eventcenter.ids import id_time
from eventcenter.kept_messages import message_of
from eventcenter.models import Event, RejectedEvent, RejectReason
from eventcenter.publishing import Prepared, keep_again

logger = logging.getLogger(__name__)

# One transaction's worth: each takes a place in its tenant's chain of the audit trail, which others wait for.
ROWS_MOST = 100
PAST_RETENTION = "id: its day is past the retention of events; publish it anew"


class Fate(StrEnum):
    """What would become of a kept message now, or what became of it."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # another event has its idempotency key, or it was ingested itself
    REFUSED = "refused"  # it would be kept aside again
    SETTLED = "settled"  # it was sent on before


@dataclass(frozen=True, slots=True)
class Verdict:
    """`event_id`: the event that it would become, or is a duplicate of. `reason` and `detail` say why it is refused."""

    row: RejectedEvent
    fate: Fate
    event_id: UUID | None = None
    reason: RejectReason | None = None
    detail: str = ""
    candidate: Candidate | None = None

    @property
    def is_duplicate(self) -> bool:
        return self.fate is Fate.DUPLICATE or self.row.reingested_duplicate


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database knows of the candidates: the keys' owners, and the events that have their ids."""

    owners: dict[UUID, tuple[UUID, bool]]
    events: dict[UUID, tuple[int, str]]  # id → tenant, idempotency key
    oldest: datetime


def judge(rows: Sequence[RejectedEvent], now: datetime) -> list[Verdict]:
    """In the order of `rows`, by the registry and tenants of now. Reads only; at most three queries."""
    with row_security.unscoped():  # a key or an id may be another tenant's; of whom is told to nobody
        tenant_ids = _active_tenants()
        schemas = registry.schemas.get()
        decoded = [decode(message_of(row), schemas, lambda slug: tenant_ids.get(slug or ""), now) for row in rows]
        known = _known_of([item for item in decoded if isinstance(item, Candidate)], now)
    return [_verdict(row, item, known) for row, item in zip(rows, decoded, strict=True)]


def reingest(ids: Sequence[UUID], actor: Actor) -> list[Verdict]:
    """Send on those that would be taken now; mark them, and those that are duplicates, once and for all. One transaction.

    Oldest first, as they came. Of two people who press at once the second is told SETTLED. At most ROWS_MOST ids.
    """
    assert len(ids) <= ROWS_MOST
    now = timezone.now()
    with transaction.atomic():
        rows = list(RejectedEvent.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
        waiting = [row for row in rows if row.reingested_at is None]
        judged = {verdict.row.pk: verdict for verdict in judge(waiting, now)}
        done = {verdict.row.pk: verdict for verdict in _send_on(list(judged.values()))}
        for verdict in done.values():
            _settle(verdict, actor, now)
    verdicts = [done.get(row.pk) or judged.get(row.pk) or _settled(row) for row in rows]
    logger.info("rejected_events.reingested", extra={"asked": len(ids), "settled": len(done), "actor": actor.name})
    return verdicts


def tenant_id_of(row: RejectedEvent) -> int | None:
    """Whose it is; None: of no known tenant, and so the platform's."""
    tenants = apps.get_model("subscriptions", "Tenant")._default_manager
    found: int | None = tenants.filter(slug=row.tenant_slug).values_list("pk", flat=True).first()
    return found


def _active_tenants() -> dict[str, int]:
    tenants = apps.get_model("subscriptions", "Tenant")._default_manager.filter(active=True)
    return dict(tenants.values_list("slug", "pk"))


def _known_of(candidates: Sequence[Candidate], now: datetime) -> _Known:
    oldest = now - timedelta(days=settings.RETENTION_DAYS["eventcenter_event"])
    if not candidates:
        return _Known({}, {}, oldest)
    found = Event.objects.filter(pk__in=[item.row.id for item in candidates])
    events = {pk: (tenant, key) for pk, tenant, key in found.values_list("pk", "tenant_id", "idempotency_key")}
    return _Known(store.key_states([item.digest for item in candidates]), events, oldest)


def _verdict(row: RejectedEvent, decoded: Candidate | Rejection, known: _Known) -> Verdict:
    if row.reingested_at is not None:
        return _settled(row)
    if isinstance(decoded, Rejection):
        return Verdict(row, Fate.REFUSED, reason=decoded.reason, detail=decoded.detail)
    own, stored = decoded.row, known.events.get(decoded.row.id)
    if stored is not None and stored != (own.tenant_id, own.idempotency_key):
        return Verdict(row, Fate.REFUSED, reason=RejectReason.ID_TAKEN, detail=f"id: another event has the id {own.id}")
    if id_time(own.id) < known.oldest:
        return Verdict(row, Fate.REFUSED, reason=RejectReason.UNSTORABLE, detail=PAST_RETENTION)
    owner, ingested = known.owners.get(decoded.digest, (own.id, False))
    if owner != own.id or ingested:
        return Verdict(row, Fate.DUPLICATE, owner, candidate=decoded)
    return Verdict(row, Fate.ACCEPTED, own.id, candidate=decoded)


def _settled(row: RejectedEvent) -> Verdict:
    return Verdict(row, Fate.SETTLED, row.reingested_as)


def _send_on(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that are no longer waiting after this. The keys decide, and not what was judged a moment ago."""
    usable = [verdict for verdict in verdicts if verdict.candidate is not None]
    if not usable:
        return []
    receipts = keep_again([_prepared(verdict.candidate) for verdict in usable if verdict.candidate])
    return [
        Verdict(
            verdict.row, Fate.DUPLICATE if receipt.duplicate else Fate.ACCEPTED, receipt.id, None, "", verdict.candidate
        )
        for verdict, receipt in zip(usable, receipts, strict=True)
    ]


def _prepared(candidate: Candidate) -> Prepared:
    return Prepared(candidate.envelope, candidate.row.id, candidate.digest, partition_key(candidate.envelope))


def _settle(verdict: Verdict, actor: Actor, now: datetime) -> None:
    row, candidate = verdict.row, verdict.candidate
    assert candidate is not None
    row.reingested_at, row.reingested_by = now, actor.name
    row.reingested_as, row.reingested_duplicate = verdict.event_id, verdict.fate is Fate.DUPLICATE
    row.save(update_fields=["reingested_at", "reingested_by", "reingested_as", "reingested_duplicate"])
    details: dict[str, object] = {
        "reason": row.reason,
        "event": str(verdict.event_id),
        "duplicate": row.reingested_duplicate,
    }
    chain = candidate.envelope.tenant or ""
    record(chain, actor, "rejected_event.reingested", f"rejected_event:{row.pk}", details)
