"""What a rule would have made of past events. Whether it matches is asked of the code that routes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from eventcenter.envelope import Envelope, parse_structured
from eventcenter.models import Event
from subscriptions.filters import compile_filters, type_matches
from subscriptions.matching import Route, TenantRoutes

LOOKS_MOST = 1000
# Bodies are read so many at a time: an event may have half a megabyte.
ROWS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Rule:
    """What a subscription, or one that is not kept yet, asks of an event. The filters are valid."""

    types: tuple[str, ...]
    tags: tuple[str, ...]
    filters: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`failed`: "" when the event matches, else the first of `types`, `tags`, `filters[0]` … that does not hold."""

    event: Event
    failed: str


def verdicts(rule: Rule, tenant_id: int, last: int) -> Iterator[Verdict]:
    """Of the tenant's last so many events, newest first."""
    rows = Event.objects.filter(tenant_id=tenant_id).select_related("tenant").order_by("-id")[:last]
    return judged(rule, rows.iterator(chunk_size=ROWS_AT_ONCE))


def judged(rule: Rule, events: Iterable[Event]) -> Iterator[Verdict]:
    routes = _routes(rule)
    for event in events:
        envelope = parse_structured(bytes(event.body))
        yield Verdict(event, "" if routes.match(envelope) else _first_that_fails(rule, envelope))


def failure_of(rule: Rule, envelope: Envelope) -> str:
    """Verdict.failed of one event. Raises FilterError for filters that are not valid."""
    return "" if _routes(rule).match(envelope) else _first_that_fails(rule, envelope)


def _routes(rule: Rule) -> TenantRoutes:
    accepts = compile_filters(list(rule.filters)) if rule.filters else None
    routes = TenantRoutes(0)
    routes.add(Route(0, 0, "", rule.types, frozenset(rule.tags), accepts))
    return routes


def _first_that_fails(rule: Rule, envelope: Envelope) -> str:
    if not any(type_matches(pattern, envelope.type) for pattern in rule.types):
        return "types"
    if rule.tags and set(rule.tags).isdisjoint(envelope.tags):
        return "tags"
    failing = (number for number, part in enumerate(rule.filters) if not compile_filters([part])(envelope))
    return f"filters[{next(failing)}]"
