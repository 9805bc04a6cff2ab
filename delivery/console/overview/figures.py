"""The objectives as live figures, each with its target, whether it is met, and the way to what explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.urls import reverse

from delivery.console.overview.waiting import OLDEST_DUE_MOST_S, Platform, Waiting
from delivery.console.wording import span_words
from delivery.objectives.report import Goal, Objective, Report, Standing, report
from delivery.telemetry import sums
from delivery.telemetry.remembered import Remembered, Tenants
from delivery.telemetry.sums import Sums

GOOD_FOR_S = 10.0  # the last full minute is counted up to its end within seconds
UNANSWERED = "no answer"

_by_tenant: Remembered[dict[int, Sums]] = Remembered()


@dataclass(frozen=True, slots=True)
class Figure:
    """`met` None: nothing counted, or there is no target (`target` "")."""

    title: str
    shown: str
    met: bool | None
    target: str
    aside: str
    url: str
    link: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Of one tenant; `url` where it is missed."""

    objective: Objective
    url: str


@dataclass(frozen=True, slots=True)
class Row:
    standing: Standing
    cells: tuple[Cell, ...]


def standings(since: datetime, until: datetime, tenants: Tenants, names: Mapping[int, str]) -> Report:
    """One query, or none while the last answer is good."""
    found = _by_tenant.read((since, until), lambda: sums.by_tenant(since, until), lambda _: GOOD_FOR_S)
    return report({key: found[key] for key in found if tenants is None or key in tenants}, names)


def forget() -> None:
    """What is remembered, so that the next one reads."""
    _by_tenant.forget()


def figures(found: Report, waits: Waiting, tenant: str, since: datetime) -> list[Figure]:
    return [
        *(_of_objective(each, found.all, tenant, since) for each in found.all.objectives),
        _oldest_due(waits, tenant),
        _backlog(waits, tenant),
    ]


def rows(found: Report, since: datetime) -> list[Row]:
    """The worst first: by how many objectives it misses, then by what arrived at once."""
    ordered = sorted(found.tenants, key=_badness)
    return [Row(each, tuple(_cell(goal, each.tenant, since) for goal in each.objectives)) for each in ordered]


def of_platform(found: Platform) -> list[tuple[str, str]]:
    """What is of no tenant, as facts."""
    lag = UNANSWERED if found.lag is None else f"{found.lag:,} messages"
    queued = UNANSWERED if found.queued is None else f"{found.queued:,} hints"
    age = f", the oldest for {span_words(found.outbox_age_s)}" if found.outbox else ""
    return [
        ("Consumer lag", lag),
        ("Outbox", f"{found.outbox:,} events{age}"),
        ("Queues", queued),
        ("In flight", f"{found.in_flight:,} deliveries"),
    ]


def _badness(standing: Standing) -> tuple[int, float, str]:
    missed = sum(each.met is False for each in standing.objectives)
    first = standing.objectives[0].value
    return -missed, 1.0 if first is None else first, standing.tenant


def _cell(objective: Objective, tenant: str, since: datetime) -> Cell:
    return Cell(objective, _explained(objective.goal, tenant, since)[0] if objective.met is False else "")


def _of_objective(each: Objective, standing: Standing, tenant: str, since: datetime) -> Figure:
    aside = (
        f"p50 {standing.p50} · p99 {standing.p99}" if each.goal is Goal.LATENCY else f"{each.count:,} of {each.of:,}"
    )
    return Figure(each.title, each.shown, each.met, each.target, aside, *_explained(each.goal, tenant, since))


def _explained(goal: Goal, tenant: str, since: datetime) -> tuple[str, str]:
    """Where its cause is found, and what the link says."""
    whose = [("tenant", tenant)] if tenant else []
    begun = [("since", f"{since:%Y-%m-%dT%H:%M}")]
    match goal:
        case Goal.INITIAL:
            chosen = [*whose, ("status", "retrying"), ("status", "dead"), *begun]
            return f"{reverse('deliveries')}?{urlencode(chosen)}", "What failed"
        case Goal.CUMULATIVE:
            return f"{reverse('deliveries')}?{urlencode([*whose, ('status', 'dead'), *begun])}", "What is dead"
        case Goal.LATENCY:
            return f"{reverse('alerts')}?{urlencode([('kind', 'latency'), *whose])}", "Alerts of latency"
    return reverse("objectives"), "Objectives"


def _oldest_due(waits: Waiting, tenant: str) -> Figure:
    shown = span_words(waits.oldest_due_s) if waits.due or waits.oldest_due_s else "none"
    aside = f"{waits.due:,} could go now"
    target = f"≤ {span_words(OLDEST_DUE_MOST_S).removesuffix(' 00 s')}"
    return Figure("Oldest due", shown, not waits.is_late, target, aside, _open(tenant), "What is open")


def _backlog(waits: Waiting, tenant: str) -> Figure:
    shown = f"{waits.count:,}{'+' if waits.more else ''}"
    aside = f"{waits.count - waits.due:,} wait for their time"
    return Figure("Backlog", shown, None, "", aside, _open(tenant), "What is open")


def _open(tenant: str) -> str:
    chosen = [("tenant", tenant)] if tenant else []
    return f"{reverse('deliveries')}?{urlencode([*chosen, ('status', 'pending'), ('status', 'retrying')])}"
