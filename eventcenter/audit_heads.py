"""Signed heads of the audit trail: signed from what is stored, written to the bus, read back from there.

What was changed behind the trail's back is not signed: a chain is gone over from its last head on before it gets a new one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

import orjson
from confluent_kafka import Producer
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import heads, store
from audit.heads import Claim, Head, HeadError
from audit.models import AuditHead
from audit.verify import ChainCheck, Fault, FaultKind, Start
from eventcenter.acknowledged import Outgoing, send
from eventcenter.bus import new_producer

logger = logging.getLogger(__name__)

FAULTS_MOST = 20  # of one chain in one run; verify_audit tells all


@dataclass(slots=True)
class Published:
    """`signed`: chains that have a new head; `sent` and `waiting`: heads that Kafka took, and those it did not."""

    signed: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    sent: int = 0
    waiting: int = 0


def publish(now: datetime, *, again: bool = False, producer: Producer | None = None) -> Published:
    """Sign a head for each chain that grew, and send what Kafka has not acknowledged. `again`: send all of them, for a
    topic that was made anew. Two at once make repeats only."""
    done = Published()
    known = {row.chain: row for row in AuditHead.objects.all()}
    ends = store.ends()
    for chain in sorted(ends.keys() | known.keys()):
        faults = _renew(chain, known.get(chain), ends.get(chain, 0), now, done.signed)
        done.faults.extend(faults)
        for fault in faults:
            logger.error("audit.fault", extra={"chain": chain, "position": fault.position, "kind": fault.kind})
    if again:
        AuditHead.objects.update(sent_at=None)
    _send_waiting(done, producer)
    return done


def _renew(chain: str, row: AuditHead | None, end: int, now: datetime, signed: list[str]) -> list[Fault]:
    key = settings.ENCRYPTION_KEYS[0]
    if row is not None and (row.position, row.key_id) == (end, key[0]):
        return []
    start, claims = Start(), []
    if row is not None:
        try:
            heads.verify(as_head(row), heads.public_keys(settings.ENCRYPTION_KEYS))
        except HeadError as error:
            if row.key_id in dict(settings.ENCRYPTION_KEYS):
                return [Fault(FaultKind.HEAD_REFUSED, chain, row.position, f"the stored head {error}")]
        else:
            claims = [as_head(row).claim]
            start = Start(row.position, bytes(row.digest)) if row.position < end else start
    with transaction.atomic():
        check = ChainCheck(chain, claims, start)
        faults = list(islice(check.run(store.entries(chain, after=start.position)), FAULTS_MOST))
    if not faults and check.last is not None:
        _keep(heads.sign(chain, check.last.position, check.last.digest, now, key))
        signed.append(chain)
    return faults


def _keep(head: Head) -> None:
    claim = head.claim
    values = {"position": claim.position, "digest": claim.digest, "at": claim.at, "key_id": claim.key_id}
    AuditHead.objects.update_or_create(
        chain=claim.chain, defaults=values | {"signature": head.signature, "sent_at": None}
    )


def _send_waiting(done: Published, producer: Producer | None) -> None:
    rows = list(AuditHead.objects.filter(sent_at=None).order_by("chain"))
    if not rows:
        return
    taken = send(
        producer or new_producer(), settings.KAFKA_AUDIT_HEADS_TOPIC, [_message(as_head(row)) for row in rows], _always
    )
    for row, is_taken in zip(rows, taken, strict=True):
        if is_taken:
            same = AuditHead.objects.filter(chain=row.chain, position=row.position, key_id=row.key_id)
            same.update(sent_at=timezone.now())
    done.sent = sum(taken)
    done.waiting = len(rows) - done.sent
    if done.waiting:
        logger.warning("audit.heads_waiting", extra={"count": done.waiting})


def _message(head: Head) -> Outgoing:
    """The key is chain and day: compaction keeps the last head of each day for good, so that a lower head, which somebody
    had signed by first cutting the chain and our own row, takes the place of no older day's."""
    key = f"{head.claim.chain}|{head.claim.at:%Y-%m-%d}"
    return Outgoing(key, [("content-type", b"application/json")], orjson.dumps(head.as_json()))


def as_head(row: AuditHead) -> Head:
    return Head(Claim(row.chain, row.position, bytes(row.digest), row.at, row.key_id), bytes(row.signature))


def _always() -> bool:
    return True
