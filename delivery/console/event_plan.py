"""Why each subscription of an event's tenant got it, or did not: by its deliveries, the rules of today, and the audit trail."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from audit.models import AuditEntry
from delivery.console.event_standing import id_range
from delivery.models import Delivery
from delivery.states import OPEN_STATUSES
from eventcenter.envelope import Envelope, EnvelopeError, parse_structured
from eventcenter.models import Event
from subscriptions.dry_run import Rule, failure_of
from subscriptions.filters import FilterError
from subscriptions.models import Subscription

SUBSCRIPTIONS_MOST = 500
ENTRIES_MOST = 2_000
# Consumers follow a change of configuration within some seconds (eventcenter.follow).
FOLLOWED_WITHIN = timedelta(seconds=5)
UNREADABLE = "the event cannot be read"


@dataclass(frozen=True, slots=True)
class Planned:
    """A subscription that got the event. `note`: what has changed since, if that is known."""

    delivery: Delivery
    note: str = ""


@dataclass(frozen=True, slots=True)
class Unplanned:
    """A subscription that did not get it. `failed`: the first part of its rule that does not hold, such as filters[0]."""

    subscription: Subscription
    why: str
    failed: str = ""
    asks: str = ""
    changed_at: datetime | None = None
    is_odd: bool = False  # it matches, and nothing is known that would explain it


@dataclass(frozen=True, slots=True)
class Plan:
    """`more`: the tenant has more subscriptions than are shown. `trail_cut`: changes were not looked for to the end."""

    planned: list[Planned]
    unplanned: list[Unplanned]
    more: bool = False
    trail_cut: bool = False

    @property
    def considered(self) -> int:
        return len(self.planned) + len(self.unplanned)

    @property
    def has_odd(self) -> bool:
        return any(item.is_odd for item in self.unplanned)

    @property
    def is_open(self) -> bool:
        return any(item.delivery.state in OPEN_STATUSES for item in self.planned)


def plan_of(event: Event) -> Plan:
    """Three queries: deliveries, subscriptions, and what the trail says of those since the event was ingested."""
    deliveries = _deliveries(event)
    rows = list(_subscriptions(event)[: SUBSCRIPTIONS_MOST + 1])
    changed, trail_cut = _changes_since(event)
    envelope = _envelope(event)
    has_one = {delivery.subscription_id for delivery in deliveries}
    planned = [Planned(delivery, _note(delivery.subscription, envelope)) for delivery in deliveries]
    others = [row for row in rows[:SUBSCRIPTIONS_MOST] if row.pk not in has_one]
    unplanned = [_unplanned(row, event, envelope, changed.get(row.pk)) for row in others]
    return Plan(planned, unplanned, len(rows) > SUBSCRIPTIONS_MOST, trail_cut)


def _deliveries(event: Event) -> list[Delivery]:
    found = Delivery.objects.select_related("subscription", "endpoint", "tenant")
    ranged = found.filter(pk__range=id_range(event.pk), tenant_id=event.tenant_id, event_id=event.pk)
    return list(ranged.order_by("subscription__slug")[:SUBSCRIPTIONS_MOST])


def _subscriptions(event: Event) -> QuerySet[Subscription]:
    """Those of today, and those that were deleted after the event came."""
    rows = Subscription.everything.filter(tenant_id=event.tenant_id).exclude(archived_at__lte=event.ingested_at)
    return rows.select_related("endpoint", "tenant").order_by("slug", "pk")


def _changes_since(event: Event) -> tuple[dict[int, datetime], bool]:
    """Subscription → when the trail says that it was last changed, since the event came. By (chain, at)."""
    since = AuditEntry.objects.filter(chain=event.tenant.slug, at__gt=event.ingested_at).order_by("-at")
    entries = list(since.values_list("target", "action", "at")[:ENTRIES_MOST])
    found: dict[int, datetime] = {}
    for target, action, at in entries:
        noun, _, key = target.partition(":")
        if noun == "subscription" and key.isdigit() and action != "subscription.created":
            found.setdefault(int(key), at)
    return found, len(entries) == ENTRIES_MOST


def _envelope(event: Event) -> Envelope | None:
    try:
        return parse_structured(bytes(event.body))
    except EnvelopeError:
        return None


def _failure(row: Subscription, envelope: Envelope | None) -> str:
    if envelope is None:
        return UNREADABLE
    try:
        return failure_of(Rule(tuple(row.types), tuple(row.tags), tuple(row.filters)), envelope)
    except FilterError:
        return "filters"


def _note(row: Subscription, envelope: Envelope | None) -> str:
    if row.archived_at is not None:
        return "deleted since"
    failed = _failure(row, envelope)
    if failed:
        return f"by its rule of today it would not: {failed}"
    return "" if row.active else "inactive today"


def _unplanned(row: Subscription, event: Event, envelope: Envelope | None, changed_at: datetime | None) -> Unplanned:
    if row.created_at > event.ingested_at:
        return Unplanned(row, "made later than the event", changed_at=row.created_at)
    if not row.active:
        return Unplanned(row, "inactive", changed_at=changed_at)
    failed = _failure(row, envelope)
    if failed:
        return Unplanned(row, "does not take it", failed, _asks(row, failed), changed_at)
    if row.archived_at is not None:
        return Unplanned(row, "would take it by its last rule, and is deleted now", changed_at=row.archived_at)
    if changed_at is not None:
        why = "would take it today; its rule, or whether it is active, was changed since"
        return Unplanned(row, why, changed_at=changed_at)
    if row.created_at > event.ingested_at - FOLLOWED_WITHIN:
        why = "made only just before the event: its consumer need not have known it yet"
        return Unplanned(row, why, changed_at=row.created_at)
    return Unplanned(row, "takes it, yet has no delivery; nothing is known to have changed since", is_odd=True)


def _asks(row: Subscription, failed: str) -> str:
    """What the part of the rule that failed asks for."""
    if failed == "types":
        return ", ".join(row.types)
    if failed == "tags":
        return "any of " + ", ".join(row.tags)
    place = failed.removeprefix("filters[").removesuffix("]")
    return json.dumps(row.filters[int(place)], ensure_ascii=False) if place.isdigit() else ""
