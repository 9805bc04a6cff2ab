"""What a search finds: the thing that an id names, events of a release or a trace, names; all within what one may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from delivery.approvals import service as approvals
from delivery.console import navigation
from delivery.models import Alert, Delivery, ReplayJob, WorkOrder
from delivery.work_orders import service as work_orders
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import within
from eventcenter.lookup import matching_events, plugins_near
from eventcenter.models import Event, RejectedEvent
from eventcenter.search import Sought, sought
from subscriptions.models import Endpoint, Subscription, Tenant

EVENTS_MOST = 20
DELIVERIES_MOST = 200  # of all those events
NAMES_MOST = 8  # of a kind
NAME_LENGTH_LEAST = 2
NEARBY_MOST = 12


@dataclass(frozen=True, slots=True)
class Found:
    """One thing to go to. `url` is empty where there is no page of it."""

    kind: str
    label: str
    url: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class EventFound:
    """An event with its deliveries, as many as were read."""

    event: Event
    url: str
    deliveries: list[Delivery]


@dataclass(frozen=True, slots=True)
class Findings:
    """`nearby`: plugins whose names begin alike, looked for where nothing else was found."""

    text: str
    things: list[Found] = field(default_factory=list)
    rooms: list[Found] = field(default_factory=list)
    names: list[Found] = field(default_factory=list)
    events: list[EventFound] = field(default_factory=list)
    more_events: bool = False
    nearby: list[Found] = field(default_factory=list)

    @property
    def only_thing(self) -> Found | None:
        """Where an id leads that names exactly one thing with a page of its own."""
        is_one = len(self.things) == 1 and not self.events
        return self.things[0] if is_one and self.things[0].url else None

    @property
    def is_empty(self) -> bool:
        return not (self.things or self.rooms or self.names or self.events)

    @property
    def is_by_trace(self) -> bool:
        return bool(sought(self.text).trace_id)

    @property
    def deliveries_url(self) -> str:
        return f"{reverse('deliveries')}?{urlencode({'q': self.text})}"


def find(text: str, principal: Principal, tenant: str = "") -> Findings:
    """At most 13 queries, each bounded. `tenant`: the chosen one, for links to rooms."""
    meant, words = sought(text), text.strip()
    if not meant:
        return Findings("", rooms=_rooms("", principal, tenant))
    things = _things(meant.id, principal) if meant.id else []
    # What an id names is among the things; of 32 hex digits its trace is left to find.
    events, more = _events(replace(meant, id=None), principal)
    if meant.id or meant.trace_id:
        return Findings(words, things, events=events, more_events=more)
    found = Findings(words, [], _rooms(words, principal, tenant), _names(words, principal), events, more)
    return found if events or not meant.plugin else replace(found, nearby=_nearby(meant.plugin, principal))


def page_url(name: str, *args: object) -> str:
    """ "" where there is no such page."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""


def _rooms(words: str, principal: Principal, tenant: str) -> list[Found]:
    return [Found("Page", label, url) for label, url in navigation.rooms_named(words, principal, tenant)]


def _things(key: UUID, principal: Principal) -> list[Found]:
    """Whatever has that id. A query for each kind of thing, by its primary key."""
    found = []
    for kind, rows, url_name in _kinds(principal):
        row: Any = rows.filter(pk=key).first()
        if row is not None:
            found.append(Found(kind, _label(row), page_url(url_name, key)))
    return found


def _kinds(principal: Principal) -> list[tuple[str, QuerySet[Any], str]]:
    return [
        ("Delivery", within(Delivery.objects.for_console(), principal), "delivery"),
        ("Event", within(Event.objects.defer("body"), principal), "event"),
        ("Rejected message", _rejected(principal), "rejected-event"),
        ("Alert", within(Alert.objects.all(), principal), "alert"),
        ("Replay", within(ReplayJob.objects.all(), principal), "replay-job"),
        ("Approval", approvals.visible_to(principal), "approval"),
        ("Work order", work_orders.visible_to(principal), "work-order"),
    ]


def _rejected(principal: Principal) -> QuerySet[RejectedEvent]:
    """Those of no known tenant are the platform's."""
    rows = RejectedEvent.objects.only("pk", "reason", "topic", "kafka_partition", "kafka_offset")
    if principal.tenant_ids(Permission.VIEW) is None:
        return rows
    return rows.filter(tenant_slug__in=within(Tenant.objects.order_by(), principal, column="id").values("slug"))


def _label(row: Any) -> str:
    match row:
        case Delivery():
            return f"{row.event.subject or row.event.type} → {row.endpoint.slug}"
        case Alert():
            return row.summary
        case WorkOrder():
            return row.title
    return str(row)


def _events(meant: Sought, principal: Principal) -> tuple[list[EventFound], bool]:
    """The newest, and whether there are more. Three queries, one where nothing is found."""
    matches = matching_events(meant, principal.tenant_ids(Permission.VIEW), most=EVENTS_MOST + 1)
    ids = [pk for pk, _ in matches[:EVENTS_MOST]]
    if not ids:
        return [], False
    rows = Event.objects.defer("body").select_related("tenant").filter(pk__in=ids).order_by("-pk")
    deliveries: dict[UUID, list[Delivery]] = {}
    for row in _deliveries(matches[:EVENTS_MOST]):
        deliveries.setdefault(row.event_id, []).append(row)
    return [EventFound(row, page_url("event", row.pk), deliveries.get(row.pk, [])) for row in rows], len(matches) > len(
        ids
    )


def _deliveries(matches: Sequence[tuple[UUID, int]]) -> QuerySet[Delivery]:
    """A delivery's id begins with its event's time: for each event a short range of the primary key."""
    meant = Q()
    for pk, tenant_id in matches:
        first, last = UUID(int=pk.int >> 80 << 80), UUID(int=pk.int | (1 << 80) - 1)
        meant |= Q(tenant_id=tenant_id, event_id=pk, pk__range=(first, last))
    return Delivery.objects.filter(meant).select_related("endpoint", "subscription").order_by("-pk")[:DELIVERIES_MOST]


def _names(words: str, principal: Principal) -> list[Found]:
    """Endpoints, subscriptions and tenants with the words in their names. Three queries over tables of configuration."""
    if len(words) < NAME_LENGTH_LEAST:
        return []
    named = Q(slug__icontains=words) | Q(name__icontains=words)
    endpoints = within(Endpoint.objects.select_related("tenant"), principal).filter(named)[:NAMES_MOST]
    subscriptions = within(Subscription.objects.select_related("tenant", "endpoint"), principal)
    tenants = within(Tenant.objects.order_by("slug"), principal, column="id").filter(named)[:NAMES_MOST]
    return [
        *(Found("Tenant", row.slug, _list(tenant=row.slug), row.name) for row in tenants),
        *(Found("Endpoint", row.slug, _endpoint_url(row), row.tenant.slug) for row in endpoints),
        *(
            Found(
                "Subscription",
                f"{row.endpoint.slug} › {row.slug}",
                _list(subscriber=f"subscription-{row.pk}"),
                row.tenant.slug,
            )
            for row in subscriptions.filter(slug__icontains=words).order_by("slug")[:NAMES_MOST]
        ),
    ]


def _endpoint_url(row: Endpoint) -> str:
    return page_url("subscriber", row.pk) or _list(subscriber=f"endpoint-{row.pk}")


def _list(**filters: str) -> str:
    return f"{reverse('deliveries')}?{urlencode(filters)}"


def _nearby(plugin: str, principal: Principal) -> list[Found]:
    names = plugins_near(plugin, principal.tenant_ids(Permission.VIEW), NEARBY_MOST)
    return [Found("Plugin", name, f"{reverse('search')}?{urlencode({'q': name})}") for name in names]
