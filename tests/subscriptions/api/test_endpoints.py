from __future__ import annotations

import json
from typing import Any

import pytest

from audit.models import AuditEntry
from eventcenter.access.roles import Role
from subscriptions.models import Endpoint, EndpointState, Tenant
from subscriptions.routing import open_credentials, open_headers
from subscriptions.services import seal_headers
from tests.api_caller import Caller, fields, signed_in, slugs, with_key
from tests.factories import (
    DeliveryFactory,
    EndpointFactory,
    EndpointSecretFactory,
    SubscriptionFactory,
    TenantFactory,
)

pytestmark = pytest.mark.django_db
TOKEN = "t0ken-that-nobody-may-see"
BROKER = f"amqps://ops:{TOKEN}@rabbit.example.com/"


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


@pytest.fixture
def admin(acme: Tenant) -> Caller:
    return with_key(acme)


def webhook(**changes: Any) -> dict[str, Any]:
    """A change of `...` leaves the member out."""
    made = {"slug": "ci-cd", "url": "https://ci.example.com/hook"} | changes
    return {name: value for name, value in made.items() if value is not ...}


def said() -> str:
    return json.dumps(list(AuditEntry.objects.values_list("details", flat=True)))


# --- Create ---


def test_webhook_is_made_and_its_secret_is_shown_once(admin: Caller) -> None:
    made = admin.post("endpoints", webhook(headers={"x-token": TOKEN}, rate_limit=5, max_in_flight=3))
    assert made.status_code == 201, made.content
    assert made["Cache-Control"] == "no-store"
    secret, shown = made.json()["secret"], made.json()["endpoint"]
    assert secret.startswith("whsec_")
    assert (shown["headers"], shown["rate_limit"], shown["max_in_flight"]) == (["x-token"], 5, 3)
    assert open_headers(Endpoint.objects.get()) == (("x-token", TOKEN),)
    read = admin.get(made["Location"])
    assert (read.json(), read["ETag"]) == (shown, made["ETag"])
    everything = read.content.decode() + admin.get("endpoints").content.decode() + said()
    assert secret not in everything
    assert TOKEN not in everything
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert actions == {"endpoint.created", "endpoint.secret_added"}


def test_broker_is_made_without_a_secret_of_ours(admin: Caller) -> None:
    sent = {"slug": "mq", "channel": "amqp", "settings": {"url": BROKER, "exchange": "releases", "persistent": True}}
    made = admin.post("endpoints", sent)
    assert made.status_code == 201, made.content
    shown = made.json()["endpoint"]
    assert made.json()["secret"] is None
    assert (shown["settings"], shown["secret_settings"]) == ({"exchange": "releases", "persistent": True}, ["url"])
    assert open_credentials(Endpoint.objects.get())["url"] == BROKER
    assert TOKEN not in made.content.decode() + said()


@pytest.mark.parametrize(
    ("changes", "field", "takes"),
    [
        ({"url": "ftp://x"}, "url", "https://"),
        ({"url": ""}, "url", ""),
        ({"channel": "pigeon"}, "channel", "pigeon"),
        ({"timeout_s": 21}, "timeout_s", "20"),
        ({"timeout_s": "10"}, "timeout_s", "number"),
        ({"max_in_flight": 0}, "max_in_flight", "1"),
        ({"headers": {"webhook-id": "x"}}, "headers.webhook-id", "cannot be changed"),
        ({"headers": {"x": "a\nb: c"}}, "headers.x", "line break"),
        ({"headers": ["x"]}, "headers", "object"),
        ({"settings": {"topic": "x"}}, "settings.topic", "not known"),
        ({"template": "fax"}, "template", "fax"),
        ({"template_params": {"x": 1}}, "template_params.x", "not known"),
        ({"channel": "console", "url": "https://x.example"}, "url", "is for webhooks"),
        ({"channel": "kafka", "url": ..., "settings": {"topic": 5}}, "settings.topic", "text"),
        ({"state": "disabled"}, "state", "not known"),
    ],
)
def test_wrong_field_is_named(admin: Caller, changes: Any, field: str, takes: str) -> None:
    found = fields(admin.post("endpoints", webhook(**changes)), 400)
    assert list(found) == [field]
    assert takes in found[field]
    assert not Endpoint.objects.exists()


# --- Change ---


def test_secrets_stay_when_something_else_is_changed_and_go_when_they_are_null(admin: Caller) -> None:
    sent = {"slug": "mq", "channel": "amqp", "settings": {"url": BROKER, "exchange": "releases"}}
    path = f"endpoints/{admin.post('endpoints', sent).json()['endpoint']['id']}"
    before = admin.get(path).json()
    changed = admin.patch(path, {"settings": {"exchange": "others"}}, if_match="*")
    assert changed.status_code == 200, changed.content
    assert changed.json() == before | {"settings": before["settings"] | {"exchange": "others"}}
    assert open_credentials(Endpoint.objects.get())["url"] == BROKER
    assert "url" in next(iter(fields(admin.patch(path, {"settings": {"url": None}}, if_match="*"), 400)))


def test_headers_are_replaced_and_removed(admin: Caller, acme: Tenant) -> None:
    row = EndpointFactory(tenant=acme, sealed_headers=seal_headers([("x-old", TOKEN)]))
    path = f"endpoints/{row.pk}"
    assert admin.patch(path, {"name": "CI"}, if_match="*").json()["headers"] == ["x-old"]
    assert admin.patch(path, {"headers": {"x-new": "1"}}, if_match="*").json()["headers"] == ["x-new"]
    assert admin.patch(path, {"headers": None}, if_match="*").json()["headers"] == []
    assert TOKEN not in said()


def test_change_needs_the_tag_of_what_was_read(admin: Caller, acme: Tenant) -> None:
    path = f"endpoints/{EndpointFactory(tenant=acme).pk}"
    tag = admin.tag(path)
    assert admin.patch(path, {"name": "x"}).status_code == 428
    assert admin.patch(path, {"name": "x"}, if_match='"other"').status_code == 412
    assert admin.patch(path, {"name": "x"}, if_match=tag).status_code == 200
    assert admin.patch(path, {"name": "y"}, if_match=tag).status_code == 412


def test_channel_stays(admin: Caller, acme: Tenant) -> None:
    path = f"endpoints/{EndpointFactory(tenant=acme).pk}"
    assert list(fields(admin.patch(path, {"channel": "kafka"}, if_match="*"), 400)) == ["channel"]


def test_pause_and_resume(admin: Caller, acme: Tenant) -> None:
    row = EndpointFactory(tenant=acme)
    assert admin.post(f"endpoints/{row.pk}/pause").json()["state"] == "paused"
    assert admin.post(f"endpoints/{row.pk}/resume").json()["state"] == "enabled"
    Endpoint.objects.update(state=EndpointState.DISABLED)
    assert admin.post(f"endpoints/{row.pk}/pause").status_code == 409


def test_resume_is_refused_when_the_system_disabled_it(admin: Caller, acme: Tenant) -> None:
    by_system = EndpointFactory(tenant=acme, state=EndpointState.DISABLED, disabled_by_system=True)
    by_hand = EndpointFactory(tenant=acme, state=EndpointState.DISABLED)
    refused = admin.post(f"endpoints/{by_system.pk}/resume")
    assert (refused.status_code, refused["Content-Type"]) == (409, "application/problem+json")
    assert refused.json()["type"] == "urn:event-center:problem:approval-needed"
    assert "Ask for it: POST …/approvals." in refused.json()["detail"]
    by_system.refresh_from_db()
    assert (by_system.state, by_system.disabled_by_system) == (EndpointState.DISABLED, True)
    assert not AuditEntry.objects.filter(action="endpoint.resumed").exists()
    assert admin.post(f"endpoints/{by_hand.pk}/resume").json()["state"] == "enabled"


# --- Delete ---


def test_endpoint_in_use_is_not_deleted(admin: Caller, acme: Tenant) -> None:
    subscription = SubscriptionFactory(endpoint=EndpointFactory(tenant=acme), slug="releases")
    path = f"endpoints/{subscription.endpoint_id}"
    refused = admin.delete(path, if_match="*")
    assert (refused.status_code, "releases" in refused.json()["detail"]) == (409, True)
    admin.delete(f"subscriptions/{subscription.pk}", if_match="*")
    delivery = DeliveryFactory(subscription=subscription, dead=True)
    assert admin.delete(path, if_match="*").status_code == 204
    assert admin.get(path).status_code == 404
    assert admin.get(f"deliveries/{delivery.pk}").json()["endpoint"]["slug"] == subscription.endpoint.slug
    row = Endpoint.everything.get()
    assert (row.state, row.archived_at is not None) == (EndpointState.DISABLED, True)


# --- Secrets ---


def test_secret_is_rotated_shown_once_and_revoked(admin: Caller, acme: Tenant) -> None:
    old = EndpointSecretFactory(endpoint__tenant=acme)
    path = f"endpoints/{old.endpoint_id}/secrets"
    assert admin.post(f"{path}/{old.pk}/revoke").status_code == 409, "the last one"
    made = admin.post(f"{path}/rotate")
    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    listed = admin.get(path)
    assert made.json()["secret"] not in listed.content.decode()
    new, before = listed.json()["items"]
    assert (new["expires_at"], before["id"], before["signs"]) == (None, old.pk, True)
    after = admin.post(f"{path}/{old.pk}/revoke").json()["items"]
    assert [item["signs"] for item in after] == [True, False]
    assert admin.post(f"{path}/{old.pk}/revoke").status_code == 409
    assert admin.post(f"{path}/999999/revoke").status_code == 404


# --- Who sees what ---


def test_url_is_shown_without_its_query_to_who_may_not_change_it(admin: Caller, acme: Tenant) -> None:
    path = f"endpoints/{EndpointFactory(tenant=acme, url=f'https://ci.example.com/job?token={TOKEN}').pk}"
    eva = signed_in((acme, Role.VIEWER))
    assert eva.get(path).json()["url"] == "https://ci.example.com/job"
    assert admin.get(path).json()["url"].endswith(TOKEN)
    assert eva.post(f"{path}/secrets/rotate").status_code == 403


def test_another_tenants_is_not_found(acme: Tenant) -> None:
    secret = EndpointSecretFactory(endpoint=EndpointFactory(tenant=acme, name="theirs"))
    other, path = with_key(TenantFactory()), f"endpoints/{secret.endpoint_id}"
    answers = [
        other.get(path),
        other.patch(path, {"name": "x"}, if_match="*"),
        other.delete(path, if_match="*"),
        other.post(f"{path}/pause"),
        other.get(f"{path}/secrets"),
        other.post(f"{path}/secrets/rotate"),
        other.post(f"{path}/secrets/{secret.pk}/revoke"),
        other.post(f"{path}/test-send", {}),
        other.post("endpoints", webhook(tenant="acme")),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert slugs(other.get("endpoints")) == []
    assert Endpoint.objects.count() == 1
