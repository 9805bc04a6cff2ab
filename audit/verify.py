"""Verification of a chain, pure: entries in the order of their positions, and the signed heads, give the faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from audit.chain import GENESIS, Link, digest
from audit.heads import Claim

# Entries that do not fit their digests are tried at each other's places, to tell a reordering from a change. More than so
# many are not tried: the work grows with the square.
REORDERED_MOST = 100


class FaultKind(StrEnum):
    CHANGED = "changed"  # an entry is not what its digest was made of
    REMOVED = "removed"  # positions are missing before one that is there
    REORDERED = "reordered"  # an entry is right at another position
    FORK = "fork"  # two entries after the same one, or two signed heads for one position
    UNLINKED = "unlinked"  # an entry does not follow the one before it
    TAIL_REMOVED = "tail_removed"  # a signed head is beyond the end
    CHAIN_REMOVED = "chain_removed"  # a signed head, and no entry
    REWRITTEN = "rewritten"  # the entry at a signed head has another digest
    HEAD_REFUSED = "head_refused"  # a head that our keys did not sign


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as it stands in the database or an export."""

    link: Link
    previous: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """`position`: where it was found; 0 when it is not about one entry."""

    kind: FaultKind
    chain: str
    position: int
    text: str

    def __str__(self) -> str:
        where = f"{self.chain}#{self.position}" if self.position else self.chain
        return f"{self.kind.upper()} {where}: {self.text}"


@dataclass(frozen=True, slots=True)
class Start:
    """What comes before the first entry. An export may begin in the middle: then the first entry says what was before."""

    position: int = 0
    digest: bytes = GENESIS


class ChainCheck:
    """Goes over one chain once; afterwards `last` and `count` say how far it goes. Holds no more than the faulty entries."""

    def __init__(self, chain: str, claims: Iterable[Claim] = (), start: Start | None = None) -> None:
        """`start` None: from the first entry on, wherever that is. `claims`: of heads whose signatures were verified."""
        self.chain = chain
        self.last = start
        self.count = 0
        self._by_position: dict[int, set[bytes]] = {}
        for claim in claims:
            self._by_position.setdefault(claim.position, set()).add(claim.digest)
        self._before_last = b""
        self._unfit: deque[Stored] = deque(maxlen=REORDERED_MOST)
        self._holes: list[int] = []

    def run(self, entries: Iterable[Stored]) -> Iterator[Fault]:
        """To the chain's end."""
        yield from self.go_over(entries)
        yield from self.at_end()

    def go_over(self, entries: Iterable[Stored]) -> Iterator[Fault]:
        """A part of the chain; another check goes on from `last`. An entry that was moved over the border between two is
        told as a changed one."""
        for entry in entries:
            yield from self._entry(entry)
        yield from self._changed()

    def _entry(self, entry: Stored) -> Iterator[Fault]:
        before = self.last or Start(entry.link.position - 1, entry.previous)
        yield from self._place(entry, before)
        if entry.digest != digest(entry.previous, entry.link):
            if len(self._unfit) == REORDERED_MOST:
                yield self._change(self._unfit[0])
            self._unfit.append(entry)
        signed = self._by_position.get(entry.link.position, set())
        if signed and entry.digest not in signed:
            yield self._fault(FaultKind.REWRITTEN, entry, "it is not the entry that a signed head names")
        self._before_last = before.digest
        self.last = Start(entry.link.position, entry.digest)
        self.count += 1

    def _place(self, entry: Stored, before: Start) -> Iterator[Fault]:
        position = entry.link.position
        if position > before.position + 1:
            missing = _span(before.position + 1, position - 1)
            self._holes.extend(range(before.position + 1, min(position, before.position + REORDERED_MOST)))
            yield self._fault(FaultKind.REMOVED, entry, f"{missing} before it missing")
        elif position <= before.position:
            yield self._fault(FaultKind.FORK, entry, "another entry has the same position")
        elif entry.previous != before.digest:
            yield self._unlinked(entry, before)

    def _unlinked(self, entry: Stored, before: Start) -> Fault:
        if entry.previous == self._before_last:
            return self._fault(FaultKind.FORK, entry, f"it follows entry {before.position - 1}, as another entry does")
        return self._fault(
            FaultKind.UNLINKED,
            entry,
            f"it does not follow entry {before.position}: one of the two was changed or replaced",
        )

    def _changed(self) -> Iterator[Fault]:
        """Each unfit entry: reordered when it is right at a place where something is wrong, else changed."""
        places = [entry.link.position for entry in self._unfit] + self._holes[:REORDERED_MOST]
        for entry in self._unfit:
            own = next((place for place in places if _fits(entry, place)), None)
            if own is None:
                yield self._change(entry)
            else:
                yield self._fault(FaultKind.REORDERED, entry, f"it was written as entry {own}")

    def at_end(self) -> Iterator[Fault]:
        """What the heads say of an end that is reached."""
        forked = [position for position, digests in self._by_position.items() if len(digests) > 1]
        for position in sorted(forked):
            yield Fault(FaultKind.FORK, self.chain, position, "there are signed heads with different digests for it")
        top, end = max(self._by_position, default=0), self.last.position if self.last else 0
        if top > end and not end:
            text = f"a signed head says that it had {top} entries, and there is none"
            yield Fault(FaultKind.CHAIN_REMOVED, self.chain, 0, text)
        elif top > end:
            text = f"{_span(end + 1, top)} at the end missing: a signed head is at {top}"
            yield Fault(FaultKind.TAIL_REMOVED, self.chain, end, text)

    def _change(self, entry: Stored) -> Fault:
        return self._fault(FaultKind.CHANGED, entry, "its digest is not that of what it says")

    def _fault(self, kind: FaultKind, entry: Stored, text: str) -> Fault:
        return Fault(kind, self.chain, entry.link.position, text)


def chains_without_entries(claims: Iterable[Claim], known: Collection[str]) -> list[str]:
    """Chains that have heads and are not among `known`."""
    return sorted({claim.chain for claim in claims}.difference(known))


def _fits(entry: Stored, position: int) -> bool:
    return entry.digest == digest(entry.previous, replace(entry.link, position=position))


def _span(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"
