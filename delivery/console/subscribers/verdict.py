"""Is it us or them, and since when? From what was counted and what failed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from delivery.console.subscribers.store import Fault
from delivery.console.subscribers.trouble import FAILING_SHARE, Rank
from delivery.console.wording import result_words
from delivery.health.breaker import NOT_THE_RECEIVERS
from delivery.outcome import ErrorKind
from delivery.telemetry.sums import Sums

# Ours, or of what was set here about the endpoint: nobody at the receiver can mend it.
SET_HERE = frozenset({ErrorKind.BAD_URL, ErrorKind.FORBIDDEN_ADDRESS})
OURS = NOT_THE_RECEIVERS | SET_HERE


@dataclass(frozen=True, slots=True)
class Verdict:
    """`whose`: us, them, both, nobody. `since` None: not known, or nothing is wrong."""

    whose: str
    tone: str
    words: str
    since: datetime | None = None


def verdict(rank: Rank, faults: Sequence[Fault], since: datetime | None, results: int) -> Verdict:
    """`results`: attempts of the last hour with an outcome."""
    if rank is Rank.PAUSED:
        return Verdict("nobody", "warn", "Somebody stopped it: what comes waits, and no attempt is spent.")
    if not faults:
        return _without_faults(rank, since, results)
    ours = sum(fault.count for fault in faults if is_ours(fault.kind))
    theirs = sum(fault.count for fault in faults) - ours
    most = result_words(faults[0].status_code, faults[0].kind)
    if rank in (Rank.WELL, Rank.UNSIGNED):
        return Verdict("nobody", "good", f"It takes what is sent, but for a few: mostly {most}.")
    if ours and theirs:
        return Verdict("both", "bad", f"Us and them: mostly {most}.", since)
    if ours:
        return Verdict("us", "bad", f"It is us, or what is set here about it: {most}.", since)
    return Verdict("them", "bad", f"It is them: {most}.", since)


def _without_faults(rank: Rank, since: datetime | None, results: int) -> Verdict:
    if rank is Rank.ENDED:
        return Verdict("them", "bad", "The receiver ended it, or took nothing for days; what comes for it dies.", since)
    if rank in (Rank.SHUT, Rank.FAILING):
        return Verdict("them", "bad", "It failed before this hour, and nothing else was tried since.", since)
    if rank is Rank.ALARM:
        return Verdict("nobody", "warn", "An alert fires, though nothing failed within the hour.", since)
    if not results:
        return Verdict("nobody", "mute", "Nothing was sent to it within the hour.")
    return Verdict("nobody", "good", "It takes what is sent.")


def is_ours(kind: str) -> bool:
    return kind in OURS


def failing_from(minutes: Mapping[datetime, Sums]) -> datetime | None:
    """The first minute of the failing that goes on at the end of these; minutes without results neither end nor begin it."""
    begun: datetime | None = None
    for minute, sums in sorted(minutes.items(), reverse=True):
        results = sums.delivered + sums.failed
        if not results:
            continue
        if sums.failed <= FAILING_SHARE * results:
            break
        begun = minute
    return begun
