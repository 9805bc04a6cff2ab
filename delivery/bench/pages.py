"""The console's pages on a full database: server time of each, as a signed-in person meets them.

A page is asked for in this process, through every middleware, as the web process would; the network and gunicorn are not in
the figure. Pages with filters are asked for with the tenant that owns half, and with a small one, in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from delivery.bench.seed import PREFIX
from delivery.models import Delivery
from delivery.states import DeliveryStatus
from eventcenter.models import Event

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
    deliveries = reverse("deliveries")
    dead = Delivery.objects.filter(tenant__slug=BIG, status=DeliveryStatus.DEAD).order_by("-pk").first()
    event = Event.objects.filter(tenant__slug=BIG).order_by("-pk").first()
    middle = Delivery.objects.order_by("pk").values_list("pk", flat=True)[1_000]
    assert dead is not None
    assert event is not None
    yield Page("deliveries", (deliveries,))
    yield Page("deliveries_tenant", tuple(f"{deliveries}?tenant={slug}" for slug in (BIG, SMALL)))
    for status in DeliveryStatus.values:
        yield Page(
            f"deliveries_{status}",
            (
                f"{deliveries}?status={status}",
                *(f"{deliveries}?tenant={slug}&status={status}" for slug in (BIG, SMALL)),
            ),
        )
    yield Page(
        "deliveries_subscriber",
        (
            f"{deliveries}?subscriber=endpoint-{dead.endpoint_id}",
            f"{deliveries}?subscriber=subscription-{dead.subscription_id}",
        ),
    )
    yield Page("deliveries_deep", (f"{deliveries}?before={middle}", f"{deliveries}?tenant={BIG}&before={middle}"))
    yield Page("delivery", (reverse("delivery", args=[dead.pk]),))
    yield from (Page(name, (reverse(name),)) for name in ("feed", "replays", "approvals", "work-orders"))
    yield Page("system", (reverse("system"),))
    trail = reverse("audit-trail")
    yield Page("audit_trail", (trail, *(f"{trail}?tenant={slug}" for slug in (BIG, SMALL)), f"{trail}?action=endpoint"))
    yield Page("admin_deliveries", (reverse("admin:delivery_delivery_changelist"),))
    yield Page("admin_events", (reverse("admin:eventcenter_event_changelist"),))
    yield Page("admin_event", (reverse("admin:eventcenter_event_change", args=[event.pk]),))


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
