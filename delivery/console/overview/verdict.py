"""The sentence at the top: is all well? If not: is it us or them, since when, who is affected? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from delivery.console.overview.trouble import Trouble, Troubled
from delivery.objectives.report import Objective

NAMED_MOST = 3


class Fault(Enum):
    """Whose it is."""

    NOBODY = "well"
    UNKNOWN = "unclear"
    THEIRS = "them"
    OURS = "us"
    BOTH = "both"


HEADS = {
    Fault.NOBODY: ("All is well", "good", "delivered"),
    Fault.UNKNOWN: ("Look closer", "warn", "retrying"),
    Fault.THEIRS: ("It is them", "warn", "retrying"),
    Fault.OURS: ("It is us", "bad", "dead"),
    Fault.BOTH: ("It is us and them", "bad", "dead"),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """`missing`: roles of processes that give no sign of life → since when, None: never seen. `ours`: (since, summary) of
    open alerts of the platform. `missed`: objectives of the period. `late_s`: how long the oldest has waited, if too long."""

    missing: dict[str, datetime | None]
    ours: Sequence[tuple[datetime, str]]
    troubled: Sequence[Troubled]
    tenant_alerts: Sequence[tuple[datetime, str]]
    missed: Sequence[Objective]
    late_s: float | None
    is_counted: bool
    period: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`words` without the time; `since` None: not known, or all is well."""

    fault: Fault
    words: str
    since: datetime | None
    affected: str

    @property
    def head(self) -> str:
        return HEADS[self.fault][0]

    @property
    def tone(self) -> str:
        return HEADS[self.fault][1]

    @property
    def dot(self) -> str:
        return HEADS[self.fault][2]


def verdict(facts: Facts) -> Verdict:
    them = [each for each in facts.troubled if not each.is_paused]
    ours, theirs = _our_words(facts), _their_words(them)
    if not ours and not theirs:
        return _without_culprit(facts)
    fault = Fault.BOTH if ours and theirs else Fault.OURS if ours else Fault.THEIRS
    times = [at for at in facts.missing.values() if at] if facts.missing else []
    times += [at for at, _ in facts.ours]
    times += [each.since for each in them if each.since]
    affected = "everybody" if ours else _tenants(them)
    return Verdict(fault, "; ".join(part for part in (ours, theirs) if part), min(times, default=None), affected)


def _without_culprit(facts: Facts) -> Verdict:
    """Nothing of ours or theirs is known to be broken."""
    signs = [words for _, words in facts.tenant_alerts][:NAMED_MOST]
    signs += [f"{each.title.lower()} {each.shown}, target {each.target}" for each in facts.missed]
    if signs:
        since = min((at for at, _ in facts.tenant_alerts), default=None)
        said = f"nothing is down, but over {facts.period}: {'; '.join(signs)}"
        return Verdict(Fault.UNKNOWN, said if not facts.tenant_alerts else "; ".join(signs), since, "")
    paused = sum(each.is_paused for each in facts.troubled)
    aside = f"; {_many(paused, 'endpoint')} paused by hand" if paused else ""
    counted = "every objective is met" if facts.is_counted else f"nothing was sent within {facts.period}"
    return Verdict(Fault.NOBODY, f"{counted}, no endpoint is in trouble, every process is there{aside}", None, "")


def _our_words(facts: Facts) -> str:
    parts = []
    if facts.missing:
        parts.append(f"no sign of life from {_listed(sorted(facts.missing))}")
    parts += [summary for _, summary in facts.ours if not facts.missing or "sign of life" not in summary]
    if facts.late_s is not None and not facts.ours:
        parts.append("deliveries that could go are waiting")
    return "; ".join(parts[:NAMED_MOST])


def _their_words(them: Sequence[Troubled]) -> str:
    if not them:
        return ""
    worst = them[0].trouble
    verb = {
        Trouble.OPEN: "not taking deliveries",
        Trouble.DISABLED: "disabled",
        Trouble.HALF_OPEN: "being probed",
        Trouble.FAILING: "failing",
    }.get(worst, "below what was promised")
    same = [each for each in them if each.trouble is worst]
    named = _listed([f"{each.endpoint.tenant.slug}/{each.endpoint.slug}" for each in same])
    rest = len(them) - len(same)
    more = f", and {_many(rest, 'other')} in trouble" if rest else ""
    return f"{named} {'is' if len(same) == 1 else 'are'} {verb}{more}"


def _tenants(them: Sequence[Troubled]) -> str:
    return _listed(list(dict.fromkeys(each.endpoint.tenant.slug for each in them)))


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:NAMED_MOST])
    if len(names) > NAMED_MOST:
        return f"{', '.join(shown)} and {len(names) - NAMED_MOST} more"
    return " and ".join((", ".join(shown[:-1]), shown[-1])) if len(shown) > 1 else "".join(shown)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
