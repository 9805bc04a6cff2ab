"""Verifies the stored trail, or an exported one, against itself and the signed heads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction

from audit import export, heads, store
from audit.heads import Claim, Head, HeadError
from audit.models import AuditHead
from audit.verify import ChainCheck, Fault, FaultKind, Start, Stored
from eventcenter.audit_head_topic import READ_S, HeadsAwayError, read_heads
from eventcenter.audit_heads import as_head

TOLD_EVERY = 10_000
Tell = Callable[[str], None]


@dataclass(slots=True)
class Chain:
    """`signed`: the highest position that a head with a right signature names; 0 without one."""

    entries: int
    last: int
    signed: int


@dataclass(slots=True)
class Verdict:
    """`gaps`: what could not be checked, one sentence each."""

    chains: dict[str, Chain] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)


def check_stored(only: str | None, tell: Tell) -> Verdict:
    """Heads first: what is signed and sent meanwhile is then beyond what was read of them, not of the entries."""
    verdict = Verdict()
    claims = stored_claims(verdict)
    names = {only} if only else store.ends().keys() | {claim.chain for claim in claims}
    for chain in sorted(names):
        own = [claim for claim in claims if claim.chain == chain]
        with transaction.atomic():
            _check(verdict, chain, own, store.entries(chain), Start(), tell)
    if only:
        verdict.faults = [fault for fault in verdict.faults if fault.chain == only]
    return verdict


def check_lines(lines: Iterable[str], tell: Tell) -> Verdict:
    """Of an export, with no database and no bus. A chain may begin in its middle. Raises ExportError."""
    verdict = Verdict()
    found = export.read(lines)
    claims = _verified(verdict, found.heads, "the file's head")
    for chain in sorted(found.entries.keys() | {claim.chain for claim in claims}):
        own = [claim for claim in claims if claim.chain == chain]
        _check(verdict, chain, own, found.entries.get(chain, []), None, tell)
    return verdict


def _check(
    verdict: Verdict, chain: str, claims: Sequence[Claim], entries: Iterable[Stored], start: Start | None, tell: Tell
) -> None:
    check = ChainCheck(chain, claims, start)
    verdict.faults.extend(check.run(_counted(chain, entries, tell)))
    last, signed = check.last.position if check.last else 0, max((claim.position for claim in claims), default=0)
    verdict.chains[chain] = Chain(check.count, last, signed)
    tell(f"{chain}: {check.count:,} entries, signed up to {signed:,}")
    if check.count and not signed:
        verdict.gaps.append(f"{chain} has no signed head: whether its end was cut off cannot be said.")


def _counted(chain: str, entries: Iterable[Stored], tell: Tell) -> Iterator[Stored]:
    for number, entry in enumerate(entries, start=1):
        if number % TOLD_EVERY == 0:
            tell(f"{chain}: {number:,} entries …")
        yield entry


def stored_claims(verdict: Verdict, only: str | None = None, within_s: float = READ_S) -> list[Claim]:
    """Of the bus, which counts, and of our own table, which may be younger. `only`: one chain's; `within_s`: how long the
    bus may take."""
    stored = AuditHead.objects.filter(chain=only) if only else AuditHead.objects.all()
    rows = list(stored)
    own = _verified(verdict, [as_head(row) for row in rows], "the head in the database")
    try:
        topic = read_heads(within_s)
    except HeadsAwayError as error:
        verdict.gaps.append(f"{error}. The signed heads there were not compared: only those in the database were.")
        return own
    name = settings.KAFKA_AUDIT_HEADS_TOPIC
    verdict.faults += [Fault(FaultKind.HEAD_REFUSED, name, 0, text) for text in topic.unreadable]
    found = [head for head in topic.heads if only in (None, head.claim.chain)]
    sent = _verified(verdict, found, f"a head on {name}")
    if not topic.heads:
        verdict.gaps.append(f"The topic {name} is empty: no head on the bus to compare with.")
    else:
        verdict.gaps += _missing(rows, sent, name)
    return own + sent


def _missing(rows: Sequence[AuditHead], sent: Sequence[Claim], topic: str) -> list[str]:
    """Heads that Kafka acknowledged and does not have."""
    tops: dict[str, int] = {}
    for claim in sent:
        tops[claim.chain] = max(claim.position, tops.get(claim.chain, 0))
    gone = [row for row in rows if row.sent_at is not None and tops.get(row.chain, 0) < row.position]
    return [f"The topic {topic} has lost the head of {row.chain} at {row.position}, which it took." for row in gone]


def _verified(verdict: Verdict, found: Iterable[Head], what: str) -> list[Claim]:
    keys = heads.public_keys(settings.ENCRYPTION_KEYS)
    claims: list[Claim] = []
    unknown: dict[str, int] = {}
    for head in found:
        claim = head.claim
        try:
            heads.verify(head, keys)
            claims.append(claim)
        except HeadError as error:
            if claim.key_id in keys:
                verdict.faults.append(Fault(FaultKind.HEAD_REFUSED, claim.chain, claim.position, f"{what} {error}"))
            else:
                unknown[claim.key_id] = unknown.get(claim.key_id, 0) + 1
    for key_id, count in sorted(unknown.items()):
        text = f"{count} heads were not compared ({what}): their key {key_id!r} is not in ENCRYPTION_KEYS."
        verdict.gaps.append(text)
    return claims
