"""What people do to subscribers, and who may not: pause, resume, breaker, secrets, and subscriptions by form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from delivery.models import Breaker, Delivery
from delivery.outcome import ErrorKind
from eventcenter.access.roles import Role
from subscriptions.models import Endpoint, Ordering, Subscription, Tenant
from subscriptions.services import live_secrets
from tests.factories import (
    DeliveryFactory,
    EndpointFactory,
    EndpointSecretFactory,
    EventFactory,
    SubscriptionFactory,
    TenantFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db
SignIn = Callable[..., Client]
ACTIONS = ("subscriber-pause", "subscriber-resume", "subscriber-probe", "subscriber-rotate", "subscription-new")
PREVIEW = {"HX-Request": "true", "HX-Target": "preview"}


@pytest.fixture
def sign_in() -> SignIn:
    def made(*roles: tuple[Tenant | None, Role]) -> Client:
        client = Client()
        client.force_login(UserFactory(roles=roles))
        return client

    return made


@pytest.fixture
def endpoint() -> Endpoint:
    made: Endpoint = EndpointSecretFactory(endpoint=EndpointFactory(tenant__slug="acme", slug="sink")).endpoint
    return made


@pytest.fixture
def operator(sign_in: SignIn, endpoint: Endpoint) -> Client:
    return sign_in((endpoint.tenant, Role.OPERATOR))


@pytest.fixture
def admin(sign_in: SignIn, endpoint: Endpoint) -> Client:
    return sign_in((endpoint.tenant, Role.TENANT_ADMIN))


def url_of(endpoint: Endpoint, name: str = "subscriber") -> str:
    return reverse(name, args=[endpoint.pk])


def done(client: Client, url: str, **data: Any) -> str:
    """The page to which the POST leads, with what it says."""
    response = client.post(url, data, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


# --- Pause and resume ---


def test_paused_endpoint_says_why_and_who_did_it(operator: Client, endpoint: Endpoint) -> None:
    assert "Pause sink?" in operator.get(url_of(endpoint, "subscriber-pause")).content.decode()
    text = done(operator, url_of(endpoint, "subscriber-pause"), reason="they move house")
    assert "Paused acme/sink" in text
    assert "they move house" in text
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.state_reason) == ("paused", "they move house")
    assert actions() == ["endpoint.paused"]
    assert "Not paused" in done(operator, url_of(endpoint, "subscriber-pause"), reason="again")


@pytest.mark.parametrize("reason", ["", "  ", "\0"])
def test_pause_is_refused_when_no_reason_is_given(operator: Client, endpoint: Endpoint, reason: str) -> None:
    assert "Give the reason" in done(operator, url_of(endpoint, "subscriber-pause"), reason=reason)
    endpoint.refresh_from_db()
    assert endpoint.state == "enabled"
    assert actions() == []


def test_resume_tells_how_many_died_meanwhile_and_offers_the_gap(operator: Client, endpoint: Endpoint) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(state="paused", state_reason="night")
    since = timezone.now() - timedelta(hours=1)
    Breaker.objects.create(endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id, failing_since=since)
    subscription = SubscriptionFactory(endpoint=endpoint)
    for _ in range(2):
        DeliveryFactory(dead=True, subscription=subscription)
    DeliveryFactory(dead=True, subscription=subscription, accepted_at=since - timedelta(hours=2))
    held = DeliveryFactory(subscription=subscription)
    Delivery.objects.filter(pk=held.pk).update(due_at=since, held_reason=ErrorKind.ENDPOINT_PAUSED)
    assert "1 delivery waits for it" in operator.get(url_of(endpoint, "subscriber-resume")).content.decode()
    text = done(operator, url_of(endpoint, "subscriber-resume"))
    assert "Resumed acme/sink" in text
    assert "It missed 2 deliveries" in text
    assert f"{reverse('replay-new')}?endpoint={endpoint.pk}&amp;gap=1" in text
    endpoint.refresh_from_db()
    assert endpoint.state == "enabled"
    assert actions() == ["endpoint.resumed"]


@pytest.mark.parametrize("method", ["get", "post"])
def test_resume_asks_a_second_person_when_the_system_disabled_it(
    operator: Client, endpoint: Endpoint, method: str
) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(state="disabled", disabled_by_system=True)
    response = getattr(operator, method)(url_of(endpoint, "subscriber-resume"))
    wanted = f"{reverse('approval-new')}?kind=endpoint.resume&target={endpoint.pk}"
    assert response.headers["Location"] == wanted
    page = operator.get(url_of(endpoint)).content.decode()
    assert "Ask to resume" in page
    assert url_of(endpoint, "subscriber-resume") not in page
    endpoint.refresh_from_db()
    assert endpoint.state == "disabled"


# --- Breaker ---


def test_breaker_is_opened_probed_and_closed_by_hand(operator: Client, endpoint: Endpoint) -> None:
    url = url_of(endpoint, "subscriber-probe")
    assert "Give the reason" in done(operator, url, do="open")
    assert "Opened the breaker" in done(operator, url, do="open", reason="they asked")
    assert "Probe now" in operator.get(url).content.decode()
    assert "finds out" in done(operator, url, do="probe")
    assert "Not probed" in done(operator, url, do="probe")
    assert "Closed the breaker" in done(operator, url, do="close")
    assert "Not closed" in done(operator, url, do="close")
    assert "Nothing to end" in done(operator, url, do="end-hold")
    assert "Choose what to do" in done(operator, url, do="nonsense")
    assert Breaker.objects.get().state == "closed"
    assert actions() == ["breaker.opened", "breaker.probe_asked", "breaker.closed"]


# --- Secrets ---


def test_rotated_secret_is_shown_once_and_kept_by_nobody(admin: Client, endpoint: Endpoint) -> None:
    newest = endpoint.secrets.get().pk
    assert f'value="{newest}"' in admin.get(url_of(endpoint, "subscriber-rotate")).content.decode()
    response = admin.post(url_of(endpoint, "subscriber-rotate"), {"newest": newest})
    secret = live_secrets(endpoint)[0]
    assert response.content.decode().count(secret) == 1
    assert "no-store" in response.headers["Cache-Control"]
    assert secret not in admin.get(url_of(endpoint)).content.decode()
    assert secret not in str(response.cookies)
    assert actions() == ["endpoint.secret_rotated"]


def test_secret_is_not_rotated_twice_when_the_page_is_sent_again(admin: Client, endpoint: Endpoint) -> None:
    sent = {"newest": endpoint.secrets.get().pk}
    admin.post(url_of(endpoint, "subscriber-rotate"), sent)
    assert "Not rotated" in done(admin, url_of(endpoint, "subscriber-rotate"), **sent)
    assert endpoint.secrets.count() == 2


def test_channel_without_secrets_has_none_to_rotate(admin: Client, endpoint: Endpoint) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(channel="console", url="")
    assert "has no signing secrets" in done(admin, url_of(endpoint, "subscriber-rotate"))
    assert url_of(endpoint, "subscriber-rotate") not in admin.get(url_of(endpoint)).content.decode()
    assert actions() == []


# --- Subscriptions by form ---


def fields_of(text: str) -> dict[str, str]:
    """What the form would send as it stands."""
    form = text.split('<form id="rule"', 1)[1].split("</form>", 1)[0]
    found = {}
    for tag in re.findall(r"<input [^>]+>", form):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and name[1] != "csrfmiddlewaretoken" and ('type="checkbox"' not in tag or "checked" in tag):
            found[name[1]] = value[1] if value else "on" if "checkbox" in tag else ""
    for name, options in re.findall(r'<select name="([^"]+)".*?>(.*?)</select>', form, re.DOTALL):
        found[name] = (re.findall(r'<option value="([^"]*)" selected', options) or [""])[0]
    for name, value in re.findall(r'<textarea name="([^"]+)".*?>\s*(.*?)</textarea>', form, re.DOTALL):
        found[name] = value.replace("&quot;", '"')
    return found


def test_subscription_is_changed_by_form_as_the_admin_does_it(admin: Client, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint, slug="releases", managed_by="yaml")
    url = reverse("subscription-edit", args=[row.pk])
    page = admin.get(url).content.decode()
    assert "The subscriptions file owns it" in page
    sent = fields_of(page) | {
        "tags": "stable, beta",
        "filters": '[{"prefix": {"subject": "pay"}}]',
        "retry_name": "quick",
    }
    text = done(admin, url, **sent)
    assert "Changed acme/releases" in text
    assert "belongs to the subscriptions file" in text
    row.refresh_from_db()
    assert (row.tags, row.filters, row.retry_policy) == (
        ["stable", "beta"],
        [{"prefix": {"subject": "pay"}}],
        {"name": "quick"},
    )
    [entry] = AuditEntry.objects.all()
    assert (entry.action, entry.target) == ("subscription.changed", f"subscription:{row.pk}")
    assert entry.details["fields"] == ["filters", "retry_policy", "tags"]


def test_form_that_is_sent_as_it_stands_changes_nothing(admin: Client, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint, ordering=Ordering.SKIP, filters=[{"exact": {"subject": "x"}}])
    url = reverse("subscription-edit", args=[row.pk])
    done(admin, url, **fields_of(admin.get(url).content.decode()))
    assert actions() == []
    before = (row.types, row.filters, row.ordering, row.active, row.retry_policy)
    row.refresh_from_db()
    assert (row.types, row.filters, row.ordering, row.active, row.retry_policy) == before


def test_new_subscription_belongs_to_the_endpoint_from_which_it_was_made(admin: Client, endpoint: Endpoint) -> None:
    url = url_of(endpoint, "subscription-new")
    sent = fields_of(admin.get(url).content.decode()) | {"slug": "releases", "types": "plugin.*"}
    assert "Made acme/releases" in done(admin, url, **sent)
    row = Subscription.objects.get()
    assert (row.endpoint, row.tenant, row.active) == (endpoint, endpoint.tenant, True)
    assert actions() == ["subscription.created"]
    again = done(admin, url, **sent)
    assert "Is taken" in again
    assert Subscription.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("types", "no spaces allowed"), ("filters", "[{"), ("filters", '[{"like": {"a": "b"}}]'), ("retry_waits", "soon")],
)
def test_wrong_field_is_told_at_its_place_and_nothing_is_saved(
    admin: Client, endpoint: Endpoint, field: str, value: str
) -> None:
    row = SubscriptionFactory(endpoint=endpoint)
    url = reverse("subscription-edit", args=[row.pk])
    text = done(admin, url, **(fields_of(admin.get(url).content.decode()) | {field: value}))
    assert 'role="alert"' in text
    assert actions() == []


def test_endpoint_of_another_tenant_is_no_choice(admin: Client, endpoint: Endpoint) -> None:
    row, other = SubscriptionFactory(endpoint=endpoint), EndpointFactory(tenant__slug="rival")
    url = reverse("subscription-edit", args=[row.pk])
    page = admin.get(url).content.decode()
    assert "rival" not in page
    assert 'role="alert"' in done(admin, url, **(fields_of(page) | {"endpoint": str(other.pk)}))
    row.refresh_from_db()
    assert row.endpoint == endpoint


@pytest.mark.parametrize("headers", [PREVIEW, {}])
def test_preview_says_what_would_have_matched_and_why_not(
    admin: Client, endpoint: Endpoint, headers: dict[str, str]
) -> None:
    row = SubscriptionFactory(endpoint=endpoint)
    EventFactory(tenant=endpoint.tenant, subject="taken")
    EventFactory(tenant=endpoint.tenant, subject="left", type="plugin.removed")
    EventFactory(subject="of-another-tenant")
    url = reverse("subscription-edit", args=[row.pk])
    sent = fields_of(admin.get(url).content.decode()) | {"filters": json.dumps([{"exact": {"subject": "nothing"}}])}
    response = admin.post(url, sent | {"_preview": "1"}, headers=headers)
    text = response.content.decode()
    assert response.status_code == 200
    assert ("<html" in text) is not bool(headers)
    assert "0 of the last 2" in text
    assert "filter 1 does not hold" in text
    assert "its type is none of these" in text
    assert "of-another-tenant" not in text
    assert "1 of the last 2" in admin.get(url).content.decode()
    row.refresh_from_db()
    assert row.filters == []


def test_preview_names_the_fault_when_a_field_that_decides_is_wrong(admin: Client, endpoint: Endpoint) -> None:
    url = url_of(endpoint, "subscription-new")
    text = admin.post(url, {"types": "plugin.*", "filters": "[{", "_preview": "1"}, headers=PREVIEW).content.decode()
    assert "No preview" in text
    assert "Filters:" in text
    assert not Subscription.objects.exists()


# --- Roles ---


def test_viewer_sees_no_button_and_is_refused(sign_in: SignIn, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint, filters=[{"exact": {"subject": "x"}}])
    viewer = sign_in((endpoint.tenant, Role.VIEWER))
    page = viewer.get(url_of(endpoint)).content.decode()
    for name in ACTIONS:
        assert url_of(endpoint, name) not in page
        assert viewer.get(url_of(endpoint, name)).status_code == 403
        assert viewer.post(url_of(endpoint, name), {"reason": "x", "do": "open"}).status_code == 403
    edit = reverse("subscription-edit", args=[row.pk])
    assert "would have matched" in viewer.get(edit).content.decode()
    assert "<form id" not in viewer.get(edit).content.decode()
    assert viewer.post(edit, {"slug": "mine"}).status_code == 403
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.secrets.count(), actions()) == ("enabled", 1, [])


def test_operator_neither_rotates_nor_edits(operator: Client, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint)
    page = operator.get(url_of(endpoint)).content.decode()
    assert url_of(endpoint, "subscriber-pause") in page
    for name in ("subscriber-rotate", "subscription-new"):
        assert url_of(endpoint, name) not in page
        assert operator.post(url_of(endpoint, name)).status_code == 403
    assert operator.post(reverse("subscription-edit", args=[row.pk])).status_code == 403
    assert endpoint.secrets.count() == 1


def test_another_tenants_subscriber_is_not_found(sign_in: SignIn, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint)
    stranger = sign_in((TenantFactory(slug="rival"), Role.TENANT_ADMIN))
    assert "acme" not in stranger.get(reverse("subscribers")).content.decode()
    assert "acme" not in stranger.get(f"{reverse('subscribers')}?tenant=acme").content.decode()
    for name in (*ACTIONS, "subscriber", "subscriber-yaml"):
        assert stranger.get(url_of(endpoint, name)).status_code == 404
    for name in ACTIONS:
        assert stranger.post(url_of(endpoint, name), {"reason": "x"}).status_code == 404
    assert stranger.get(reverse("subscription-edit", args=[row.pk])).status_code == 404
    assert stranger.post(reverse("subscription-edit", args=[row.pk])).status_code == 404
    assert actions() == []
