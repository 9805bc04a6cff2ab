"""The console's list of subscribers: every endpoint that the reader may see, those in trouble first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from delivery.console.access import ConsoleView, htmx_of
from delivery.console.filters import Pill
from delivery.console.list_filter import Field, ListFilter, tenant_field
from delivery.console.paging import PAGE_ROWS
from delivery.console.subscribers import store
from delivery.console.subscribers.store import Sighted, Waiting, Wanted
from delivery.console.subscribers.trouble import Condition, Rank, Rates, condition_of, rank_of
from delivery.console.views import LIVE_ID
from delivery.models import Breaker
from eventcenter.access.roles import Permission
from subscriptions.channels.registry import destination_of, is_signed
from subscriptions.models import Channel, Endpoint, EndpointState

TEXT_CHARS = 100
CHANNEL = Field("channel", "Channel", "All channels", [(each.value, each.label) for each in Channel])
STATE = Field("state", "State", "All states", [(each.value, each.label) for each in EndpointState])
TROUBLE = Field("trouble", "Condition", "All, in trouble first", [("yes", "In trouble"), ("no", "Well")])

Place = tuple[int, str, str]  # rank, tenant, slug: the order of the list


@dataclass(frozen=True, slots=True)
class Applied:
    """The filter of the URL. `text` is looked for in tenant, slug, name and host."""

    choices: ListFilter
    text: str

    @property
    def query(self) -> str:
        return "&".join(part for part in (self.choices.query, urlencode({"q": self.text}) if self.text else "") if part)

    @property
    def pills(self) -> list[Pill]:
        words = urlencode({"q": self.text}) if self.text else ""
        found = [Pill(p.name, p.value, "&".join(x for x in (p.query, words) if x)) for p in self.choices.pills]
        return found + ([Pill("Text", self.text, self.choices.query)] if self.text else [])

    def wanted(self, tenants: frozenset[int] | None) -> Wanted:
        chosen = self.choices.chosen
        return Wanted(tenants, None, chosen("tenant"), chosen("channel"), chosen("state"), self.text)


@dataclass(frozen=True, slots=True)
class Row:
    endpoint: Endpoint
    sighted: Sighted
    rank: Rank
    rates: Rates
    waiting: Waiting
    breaker: Breaker | None

    @property
    def condition(self) -> Condition:
        return condition_of(self.rank, self.sighted.signs)

    @property
    def destination(self) -> str:
        return destination_of(self.endpoint)

    @property
    def is_signed(self) -> bool:
        return is_signed(self.endpoint)

    @property
    def waits_most(self) -> bool:
        """There are more than are counted."""
        return self.waiting.count > store.WAITING_MOST


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of the sorted list. `after`: where the next page begins, "" at the end."""

    shown: list[tuple[Rank, Sighted]]
    after: str
    total: int
    troubled: int


class SubscriberList(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        applied = applied_of(request)
        if "" in request.GET.values():  # a form without JavaScript sends its empty fields, too
            return redirect(f"{reverse('subscribers')}?{applied.query}".rstrip("?"))
        after, now = place_of(request.GET.get("after", "")), timezone.now()
        found = store.sighted(applied.wanted(self.principal.tenant_ids(Permission.VIEW)), now)
        listed = page(found, applied.choices.chosen("trouble"), after, now)
        context = {
            "rows": _rows(listed.shown, now),
            "listed": listed,
            "more": len(found) >= store.ENDPOINTS_MOST,
            "is_first": after is None,
            "filter": applied,
        }
        live = htmx_of(request).target == LIVE_ID
        return render(request, "console/_subscribers.html" if live else "console/subscribers.html", context)


def applied_of(request: HttpRequest) -> Applied:
    """What is none of the choices is as good as absent; so is text that PostgreSQL cannot hold."""
    choices = ListFilter.of(request.GET.dict(), [tenant_field(request), CHANNEL, STATE, TROUBLE])
    text = request.GET.get("q", "").replace("\0", "").strip()
    return Applied(choices, text[:TEXT_CHARS])


def page(found: Sequence[Sighted], trouble: str, after: Place | None, now: datetime) -> Listed:
    """By rank, tenant and slug, from beyond `after`. Pure."""
    ranked = [(rank_of(each.signs, now), each) for each in found]
    troubled = sum(rank is not Rank.WELL for rank, _ in ranked)
    if trouble:
        ranked = [item for item in ranked if (item[0] is Rank.WELL) == (trouble == "no")]
    ranked.sort(key=_place)
    left = [item for item in ranked if after is None or _place(item) > after]
    shown = left[:PAGE_ROWS]
    more = "/".join(map(str, _place(shown[-1]))) if len(left) > PAGE_ROWS else ""
    return Listed(shown, more, len(ranked), troubled)


def place_of(text: str) -> Place | None:
    """A cursor of the URL; what is none is as good as absent. Slugs have no slash."""
    rank, _, names = text.partition("/")
    tenant, slash, slug = names.partition("/")
    return (int(rank), tenant, slug) if slash and rank.isascii() and rank.isdigit() and len(rank) < 3 else None


def _place(item: tuple[Rank, Sighted]) -> Place:
    rank, each = item
    return int(rank), each.tenant, each.slug


def _rows(shown: Sequence[tuple[Rank, Sighted]], now: datetime) -> list[Row]:
    """Four queries, whatever is on the page."""
    keys = [each.endpoint_id for _, each in shown]
    if not keys:
        return []
    endpoints: Mapping[int, Endpoint] = Endpoint.objects.select_related("tenant").in_bulk(keys)
    breakers: Mapping[int, Breaker] = Breaker.objects.in_bulk(keys)
    rates, waiting = store.last_hour(keys, now), store.waiting(keys)
    return [
        Row(
            endpoints[each.endpoint_id],
            each,
            rank,
            rates.get(each.endpoint_id, Rates()),
            waiting.get(each.endpoint_id, Waiting()),
            breakers.get(each.endpoint_id),
        )
        for rank, each in shown
        if each.endpoint_id in endpoints
    ]
