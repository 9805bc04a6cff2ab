"""The console's pages on a full database: server time of each, as a signed-in person meets them.

A page is asked for in this process, through every middleware, as the web process would; the network and gunicorn are not in
the figure. Pages with filters are asked for with the tenant that owns half, and with a small one, in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from delivery.bench.seed import PREFIX
from delivery.models import Delivery
from delivery.states import DeliveryStatus
from eventcenter.ids import id_time
from eventcenter.models import Event, RejectedEvent
from subscriptions.models import Endpoint

BIG, SMALL = f"{PREFIX}000", f"{PREFIX}001"
PERSON = f"{PREFIX}ops"
WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Page:
    """`urls`: its variants, asked for in turn."""

    name: str
    urls: tuple[str, ...]


class PageFailed(Exception):
    """A page did not answer 200; a time of it would mean nothing."""


def pages() -> Iterator[Page]:
    """Every page of the console that reads what grows with traffic."""
    dead = Delivery.objects.filter(tenant__slug=BIG, status=DeliveryStatus.DEAD).order_by("-pk").first()
    event = Event.objects.filter(tenant__slug=BIG).order_by("-pk").first()
    assert dead is not None
    assert event is not None
    overview = reverse("overview")
    for period in ("1h", "24h", "7d"):
        whose = ("", *(f"&tenant={slug}" for slug in (BIG, SMALL)))
        yield Page(f"overview_{period}", tuple(f"{overview}?period={period}{tenant}" for tenant in whose))
    yield from _of_deliveries(dead, event)
    yield from _of_search(event)
    yield from _of_events(event)
    yield from _of_subscribers(dead)
    yield from (Page(name, (reverse(name),)) for name in ("feed", "replays", "approvals", "work-orders", "system"))
    trail = reverse("audit-trail")
    yield Page("audit_trail", (trail, *(f"{trail}?tenant={slug}" for slug in (BIG, SMALL)), f"{trail}?action=endpoint"))
    yield Page("admin_deliveries", (reverse("admin:delivery_delivery_changelist"),))
    yield Page("admin_events", (reverse("admin:eventcenter_event_changelist"),))
    yield Page("admin_event", (reverse("admin:eventcenter_event_change", args=[event.pk]),))


def _of_deliveries(dead: Delivery, event: Event) -> Iterator[Page]:
    """The list, one delivery, and what is begun from there."""
    deliveries = reverse("deliveries")
    middle = Delivery.objects.order_by("pk").values_list("pk", flat=True)[1_000]
    yield Page("deliveries", (deliveries,))
    yield Page("deliveries_tenant", tuple(f"{deliveries}?tenant={slug}" for slug in (BIG, SMALL)))
    for status in DeliveryStatus.values:
        of_tenants = (f"{deliveries}?tenant={slug}&status={status}" for slug in (BIG, SMALL))
        yield Page(f"deliveries_{status}", (f"{deliveries}?status={status}", *of_tenants))
    keys = (f"endpoint-{dead.endpoint_id}", f"subscription-{dead.subscription_id}")
    yield Page("deliveries_subscriber", tuple(f"{deliveries}?subscriber={key}" for key in keys))
    yield Page("deliveries_deep", (f"{deliveries}?before={middle}", f"{deliveries}?tenant={BIG}&before={middle}"))
    yield from _filters(deliveries, dead, event)
    yield Page("delivery", (reverse("delivery", args=[dead.pk]),))
    opened = Delivery.objects.filter(tenant__slug=BIG).open().order_by("-pk").first()
    if opened is not None:
        yield Page("delivery_cancel", (reverse("delivery-cancel", args=[opened.pk]),))
    yield Page("replay_new", (f"{reverse('replay-new')}?tenant={BIG}&status=dead&code=5xx",))
    yield Page("cancel_new", (f"{reverse('cancel-new')}?tenant={BIG}&code=5xx",))


def _of_search(event: Event) -> Iterator[Page]:
    """Releases, a trace, and what nothing is called exactly."""
    asked = {
        "search_release": ("plugin-7", "1.8.1", "plugin-7@1.7.3"),
        "search_trace": (event.traceparent,),
        "search_nothing": ("plugin", "nothing-like-it", "sink"),
    }
    for name, texts in asked.items():
        yield Page(name, tuple(f"{reverse('search')}?q={text}" for text in texts))


def _of_subscribers(dead: Delivery) -> Iterator[Page]:
    """The list, an endpoint of the big tenant and one of a small one, and its subscription."""
    subscribers = reverse("subscribers")
    yield Page("subscribers", (subscribers, f"{subscribers}?tenant={BIG}", f"{subscribers}?trouble=yes&q=sink"))
    keys = [dead.endpoint_id, *Endpoint.objects.filter(tenant__slug=SMALL).values_list("pk", flat=True)[:1]]
    for span in ("1h", "24h", "7d"):
        yield Page(f"subscriber_{span}", tuple(f"{reverse('subscriber', args=[key])}?period={span}" for key in keys))
    yield Page("subscriber_yaml", (reverse("subscriber-yaml", args=[dead.endpoint_id]),))
    yield Page("subscription_edit", (reverse("subscription-edit", args=[dead.subscription_id]),))


def _of_events(event: Event) -> Iterator[Page]:
    """A type that nearly all have, one that none has, and a tag that a quarter has."""
    events, rejected = reverse("events"), reverse("rejected-events")
    since = f"since={id_time(event.pk) - timedelta(days=2):%Y-%m-%dT%H:%M}"
    yield Page("events", (events, *(f"{events}?tenant={slug}" for slug in (BIG, SMALL))))
    for name, query in (
        ("type", f"type={event.type}"),
        ("no_type", "type=none.such"),
        ("tag", f"tag={event.tags[-1]}"),
        ("plugin", f"plugin={event.subject}"),
        ("search", f"q={event.pk}"),
        ("since", since),
    ):
        yield Page(
            f"events_{name}", (f"{events}?{query}", *(f"{events}?{query}&tenant={slug}" for slug in (BIG, SMALL)))
        )
    yield Page("event", (reverse("event", args=[event.pk]),))
    yield Page("rejected", (rejected, *(f"{rejected}?tenant={slug}" for slug in (BIG, SMALL))))
    yield Page("rejected_reason", tuple(f"{rejected}?reason={reason}" for reason in ("invalid", "id_taken")))
    yield Page("rejected_state", tuple(f"{rejected}?state={state}" for state in ("waiting", "settled")))
    row = RejectedEvent.objects.order_by("-pk").first()
    if row is not None:  # of a database that was seeded before there were any
        yield Page("rejected_event", (reverse("rejected-event", args=[row.pk]),))


def _filters(deliveries: str, dead: Delivery, event: Event) -> Iterator[Page]:
    """The list by what only some rows have, alone and together; what none has is looked for as far as a look goes."""
    hour, day = (f"{dead.planned_at - timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}" for hours in (1, 24))
    variants = {
        "type": ("type=plugin.release.published", "type=no.such.type", f"tenant={SMALL}&type=no.such.type"),
        "tag": ("tag=ring-1", "tag=no-such-tag", f"tenant={SMALL}&tag=no-such-tag"),
        "code": ("code=503", "code=5xx", "code=404", "code=none", f"tenant={SMALL}&code=503"),
        "error": ("error=http_status", "error=tls", f"tenant={BIG}&error=tls"),
        "time": (f"since={hour}", f"until={day}", f"tenant={SMALL}&since={day}&until={hour}"),
        "search_id": (f"q={dead.pk}", f"q={event.pk}"),
        "search_plugin": ("q=plugin-7", f"q=plugin-7&tenant={SMALL}", "q=no-such-plugin"),
        "search_version": ("q=1.7.3", "q=plugin-7@1.7.0", "q=9.9.9"),
        "search_trace": (f"q={event.traceparent[3:35]}", f"q={event.traceparent}"),
        "open": ("status=pending&status=retrying", f"tenant={SMALL}&status=pending&status=retrying"),
        "mixed": (
            f"tenant={BIG}&status=dead&code=5xx",
            f"tenant={SMALL}&status=dead&code=404",
            f"status=dead&status=cancelled&status=retrying&since={day}",
            "status=dead&type=no.such.type",
            "status=dead&tag=ring-2&error=http_status",
            f"status=dead&subscriber=endpoint-{dead.endpoint_id}",
            f"subscriber=endpoint-{dead.endpoint_id}&code=404",
            f"subscriber=subscription-{dead.subscription_id}&type=no.such.type",
            "q=plugin-7&status=dead&code=503",
        ),
    }
    for name, queries in variants.items():
        yield Page(f"deliveries_{name}", tuple(f"{deliveries}?{query}" for query in queries))


def signed_in() -> Client:
    user, _ = get_user_model().objects.get_or_create(username=PERSON, is_staff=True, is_superuser=True)
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def measure(loads: int, tell: Callable[[str], None]) -> dict[str, list[float]]:
    """Milliseconds of `loads` requests for each page, after a warm-up. Raises PageFailed."""
    client = signed_in()
    taken = {}
    for page in pages():
        for url in page.urls * WARM_UP:
            _load(client, url)
        taken[page.name] = [_load(client, page.urls[turn % len(page.urls)]) for turn in range(loads)]
        tell(
            f"{page.name:24} p50 {percentile(taken[page.name], 0.5):7.1f} ms   p95 {percentile(taken[page.name], 0.95):7.1f} ms"
        )
    return taken


def percentile(values: list[float], share: float) -> float:
    """The smallest measured value that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def _load(client: Client, url: str) -> float:
    began = time.perf_counter()
    response: Any = client.get(url)
    taken_ms = (time.perf_counter() - began) * 1000
    if response.status_code != 200:
        raise PageFailed(f"{url} answered {response.status_code}")
    return taken_ms
