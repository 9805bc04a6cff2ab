"""The verification of one chain in parts, each short enough for a web request: where one ends the next one goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from django.core import signing
from django.db import transaction

from audit import store
from audit.chain import GENESIS
from audit.verify import ChainCheck, Fault, Start, Stored
from eventcenter.audit_check import Verdict, stored_claims

PART_MOST: Final = 100_000  # entries
PART_S: Final = 4.0
HEADS_S: Final = 2.0  # of it for the bus, before the entries
FAULTS_MOST: Final = 20  # verify_audit tells all
GOOD_FOR_S: Final = 3600  # a cursor that nobody went on with is as good as none
SALT: Final = "event center: verification of an audit chain"


class CursorError(ValueError):
    """Not a cursor of ours, or too old."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: the last entry that was right, how many were looked at, and for how long."""

    chain: str
    position: int = 0
    digest: bytes = GENESIS
    entries: int = 0
    taken_s: float = 0.0

    def cursor(self) -> str:
        """Signed: nobody can have a verification begin behind the entry that is wrong."""
        told = [self.chain, self.position, self.digest.hex(), self.entries, round(self.taken_s, 3)]
        return signing.dumps(told, salt=SALT)

    @classmethod
    def of_cursor(cls, text: str) -> Progress:
        """Raises CursorError."""
        try:
            chain, position, digest, entries, taken_s = signing.loads(text, salt=SALT, max_age=GOOD_FOR_S)
        except (signing.BadSignature, ValueError):
            raise CursorError("is no verification that is still going on") from None
        return cls(chain, position, bytes.fromhex(digest), entries, taken_s)


@dataclass(slots=True)
class Part:
    """`progress` is after it. `is_over`: the end of the chain, or a fault, is reached. `heads`: signed heads that were
    compared; `signed`: the highest position that one of them names; `gaps`: what could not be compared."""

    progress: Progress
    is_over: bool = False
    heads: int = 0
    signed: int = 0
    faults: list[Fault] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)


def go_on(
    progress: Progress, most: int = PART_MOST, within_s: float = PART_S, clock: Callable[[], float] = time.monotonic
) -> Part:
    """Heads first, as in audit_check: what is signed meanwhile is then beyond what was read of them, not of the entries."""
    began, verdict = clock(), Verdict()
    claims = [claim for claim in stored_claims(verdict, progress.chain, HEADS_S) if claim.chain == progress.chain]
    check = ChainCheck(progress.chain, claims, Start(progress.position, progress.digest))
    faults = [fault for fault in verdict.faults if fault.chain == progress.chain]
    with transaction.atomic():
        rest = store.entries(progress.chain, after=progress.position)
        faults += islice(check.go_over(_until(began + within_s, islice(rest, most), clock)), FAULTS_MOST)
        last = check.last or Start()
        is_end = not faults and next(store.entries(progress.chain, after=last.position), None) is None
    if is_end:
        faults += check.at_end()
    signed = max((claim.position for claim in claims), default=0)
    gaps = verdict.gaps + (
        [] if signed else ["No head of it is signed yet: whether its end was cut off cannot be said."]
    )
    done = replace(progress, position=last.position, digest=last.digest, entries=progress.entries + check.count)
    done = replace(done, taken_s=progress.taken_s + clock() - began)
    return Part(done, bool(faults) or is_end, len(claims), signed, faults, gaps)


def _until(ends_at: float, entries: Iterable[Stored], clock: Callable[[], float]) -> Iterator[Stored]:
    """One at least, so that every part gets on."""
    for entry in entries:
        yield entry
        if clock() >= ends_at:
            return
