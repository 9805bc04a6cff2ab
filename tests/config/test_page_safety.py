"""Every page holds under its own content security policy: nothing inline, on any URL that there is, the admin's included.

URLs are found by walking the resolver. A new one is tried without being named here; one whose parameter has a new name makes
the test fail until VALUES knows what to put there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from pytest_django import Settings

from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.alerts import raise_alert
from delivery.models import AlertSeverity, Delivery
from delivery.replays import service
from delivery.replays.criteria import Criteria
from tests import factories

Route = tuple[str, tuple[str, ...]]  # the whole name of a URL pattern, its parameters' names
POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


class Inline(HTMLParser):
    """Collects what the policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in names and not is_data(names.get("type"))):
            self.found.append(self.get_starttag_text() or tag)
        for name, value in attrs:
            script_url = name in ("href", "src", "action", "formaction") and (value or "").strip().lower().startswith(
                "javascript:"
            )
            if name == "style" or name.startswith("on") or script_url:
                self.found.append(f"<{tag} {name}={value!r}>")


def is_data(kind: str | None) -> bool:
    """A block that no browser runs, such as what json_script writes."""
    return kind in ("application/json", "text/template")


def inline_parts(page: str) -> list[str]:
    parser = Inline()
    parser.feed(page)
    return parser.found


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[Route]:
    """All named patterns below; a name twice, with other parameters, is two."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{prefix}{pattern.namespace}:" if pattern.namespace else prefix
            yield from routes(pattern, inner)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield prefix + pattern.name, tuple(pattern.pattern.regex.groupindex)


def delivery() -> Delivery:
    found = Delivery.objects.first()
    assert found is not None
    return found


def object_id(route: str) -> str:
    """Of an admin page, admin:APP_MODEL_PAGE: one row's key as the admin writes it."""
    for model in admin.site._registry:
        if route.startswith(f"admin:{model._meta.app_label}_{model._meta.model_name}_"):
            row = model._default_manager.first()
            return quote(str(row.pk), safe="") if row else "1"
    return "1"


def pk(route: str) -> object:
    """Of the REST API's objects; the first that the name holds says whose."""
    made = delivery()
    rejected = apps.get_model("eventcenter", "RejectedEvent")._default_manager.first()
    rooms = {
        "deliver": made.pk,
        "attempts": made.pk,
        "endpoint": made.endpoint_id,
        "secret": made.endpoint_id,
        "subscription": made.subscription_id,
        "event-type": 1,
        "rejected": rejected.pk if rejected else 1,
        "event": made.event_id,
    }
    return next(key for word, key in rooms.items() if word in route)


VALUES: dict[str, Callable[[str], object]] = {
    "pk": pk,
    "approval_id": lambda route: delivery().pk,
    "alert_id": lambda route: apps.get_model("delivery", "Alert")._default_manager.get().pk,
    "order_id": lambda route: delivery().pk,
    "key_id": lambda route: "ak_no_such_key",
    "object_id": object_id,
    "id": object_id,
    "delivery_id": lambda route: delivery().pk,
    "event_id": lambda route: delivery().event_id,
    "rejected_id": lambda route: apps.get_model("eventcenter", "RejectedEvent")._default_manager.first().pk,
    "endpoint_id": lambda route: delivery().endpoint_id,
    "subscription_id": lambda route: delivery().subscription_id,
    "secret_id": lambda route: delivery().endpoint.secrets.first().pk,
    "public_id": lambda route: "no-such-adapter",
    "replay_id": lambda route: next(iter(apps.get_model("delivery", "ReplayJob")._default_manager.all())).pk,
    "action": lambda route: "start",
    "app_label": lambda route: "subscriptions",
    "content_type_id": lambda route: 1,
    "url": lambda route: "no-such-page/",
}


def address(route: Route) -> str:
    name, parameters = route
    unknown = [parameter for parameter in parameters if parameter not in VALUES]
    assert not unknown, f"{name} takes {unknown}: tell VALUES of this test what to put there"
    return reverse(name, kwargs={parameter: VALUES[parameter](name) for parameter in parameters})


@pytest.fixture
def furnished(db: None) -> User:
    """One or more rows of most things, and a superuser."""
    made = factories.DeliveryFactory(dead=True)
    factories.AttemptFactory(delivery=made, refused=True)
    factories.DeliveryFactory(retrying=True)
    factories.EndpointSecretFactory(endpoint=made.endpoint)
    factories.PublishKeyFactory(tenant=made.tenant)
    factories.ApiKeyFactory(tenant=made.tenant)
    factories.RejectedEventFactory()
    about = {"tenant_id": made.tenant_id, "endpoint_id": made.endpoint_id}
    raise_alert("endpoint.failing", "failing", AlertSeverity.WARNING, "It fails.", timezone.now(), **about)
    user: User = factories.SuperuserFactory()
    record(PLATFORM_CHAIN, Actor.of_user(user), "test.made", "test:1")
    service.draft(Criteria(tenant_id=made.tenant_id), Actor.of_user(user), 10, "a test")
    return user


def html_of(response: HttpResponseBase) -> str:
    is_html = response.headers.get("Content-Type", "").startswith("text/html")
    return response.content.decode() if is_html and isinstance(response, HttpResponse) else ""


def judge(response: HttpResponseBase) -> list[str]:
    """What is wrong with one answer. Text of some kind or other: every answer has the headers, pages nothing inline."""
    wrong = [f"headers: {name}" for name, value in HEADERS.items() if response.headers.get(name) != value]
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["Content-Security-Policy"].split(";"))
    wrong += [f"policy: {name}" for name, value in POLICY.items() if policy.get(name) != value]
    wrong += ["policy: unsafe"] if "unsafe" in str(policy) else []
    return wrong + inline_parts(html_of(response))


HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def test_no_page_has_anything_inline_when_all_are_walked(furnished: User) -> None:
    signed_in, stranger = Client(raise_request_exception=False), Client(raise_request_exception=False)
    signed_in.force_login(furnished)
    wrong: dict[str, Any] = {}
    pages = 0
    for route in sorted(set(routes(get_resolver()))):
        url = address(route)
        for who in (signed_in, stranger):
            response = who.get(url)
            assert response.status_code < 500 or url == "/readyz", url
            pages += bool(html_of(response))
            if found := judge(response):
                wrong[url] = found

    assert wrong == {}
    assert pages > 50  # the walk is one: most of these are the admin's


@pytest.mark.parametrize(
    ("path", "status"),
    [("/no-such-page", 404), ("/console/deliveries/00000000-0000-0000-0000-000000000000", 404), ("/metrics", 200)],
)
def test_error_page_holds_too_when_something_is_missing(furnished: User, path: str, status: int) -> None:
    client = Client()
    client.force_login(furnished)
    response = client.get(path)

    assert response.status_code == status
    assert judge(response) == []


def test_refusals_hold_too(furnished: User, settings: Settings) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert judge(strict.post("/sign-in", {})) == []
    assert judge(strict.get("/", headers={"host": "evil.example"})) == []

    stranger = Client()
    stranger.force_login(factories.UserFactory(is_staff=False, roles=()))
    response = stranger.get("/console/deliveries")
    assert (response.status_code, judge(response)) == (403, [])
    settings.AXES_FAILURE_LIMIT = 1
    locked = Client().post("/sign-in", {"username": "x", "password": "y"})
    assert (locked.status_code, judge(locked)) == (429, [])


@pytest.mark.parametrize(
    "page",
    [
        "<script>x()</script>",
        "<p style='color: red'>",
        "<style>p {}</style>",
        "<a onclick=x()>",
        "<a href=' JavaScript:x()'>",
    ],
)
def test_inline_part_is_found_when_there_is_one(page: str) -> None:
    assert inline_parts(page)
    assert not inline_parts('<script src="/a.js"></script><script type="application/json">{}</script><a href="/">')
