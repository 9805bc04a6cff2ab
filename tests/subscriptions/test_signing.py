"""An endpoint's signing secrets: rotated with an overlap, revoked one by one, of two kinds."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from audit.trail import Actor
from delivery.transports.base import Sending
from delivery.transports.webhook.request import build
from eventcenter.access.roles import Role
from eventcenter.standardwebhooks import decode_secret
from subscriptions.models import Endpoint, EndpointSecret, Signing
from subscriptions.routing import delivery_settings
from subscriptions.services import (
    ROTATION_OVERLAP,
    SecretKeptError,
    add_secret,
    age_of,
    live_secrets,
    revoke_secret,
    rotate_secret,
)
from tests.factories import EndpointFactory, EndpointSecretFactory, SuperuserFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
EVA = Actor("user:eva")
NO_SECRETS = {"secrets-TOTAL_FORMS": "0", "secrets-INITIAL_FORMS": "0"}


@pytest.fixture
def endpoint() -> Endpoint:
    return EndpointFactory(tenant__slug="acme", slug="ci-cd")


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(SuperuserFactory(username="eva"))
    return client


def signing_keys(endpoint: Endpoint) -> tuple[Any, ...]:
    return delivery_settings.reload().sinks[endpoint.pk].secrets


def live(endpoint: Endpoint) -> list[int]:
    return sorted(endpoint.secrets.live(timezone.now()).values_list("pk", flat=True))


def test_shared_secret_is_given_out_when_the_endpoint_signs_by_hmac(endpoint: Endpoint) -> None:
    secret = add_secret(endpoint, EVA)
    assert signing_keys(endpoint) == (decode_secret(secret),)
    assert EndpointSecret.objects.get().public_key == ""


def test_public_key_alone_is_given_out_when_the_endpoint_signs_by_ed25519(endpoint: Endpoint) -> None:
    endpoint.signing = Signing.ED25519
    public = add_secret(endpoint, EVA)
    (row,) = EndpointSecret.objects.all()
    assert (row.signing, row.public_key) == ("v1a", public)
    (key,) = signing_keys(endpoint)
    assert isinstance(key, Ed25519PrivateKey)
    assert public == "whpk_" + base64.b64encode(key.public_key().public_bytes_raw()).decode()
    assert live_secrets(endpoint) == []


def test_both_kinds_sign_for_a_day_when_the_kind_is_changed(endpoint: Endpoint) -> None:
    secret = add_secret(endpoint, EVA)
    endpoint.signing = Signing.ED25519
    rotate_secret(endpoint, EVA)
    new, old = signing_keys(endpoint)
    assert isinstance(new, Ed25519PrivateKey)
    assert old == decode_secret(secret)
    EndpointSecret.objects.filter(signing=Signing.HMAC).update(expires_at=timezone.now())
    assert len(signing_keys(endpoint)) == 1
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.details["signing"]) == ("endpoint.secret_rotated", "v1a")


def test_old_secret_ends_at_once_when_it_is_revoked(endpoint: Endpoint) -> None:
    old = EndpointSecretFactory(endpoint=endpoint)
    new = decode_secret(rotate_secret(endpoint, EVA))
    assert len(signing_keys(endpoint)) == 2

    revoke_secret(endpoint, old.pk, EVA)

    assert signing_keys(endpoint) == (new,)
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.actor, entry.details) == ("endpoint.secret_revoked", "user:eva", {"secret": old.pk})


def test_revoking_is_refused_when_nothing_would_sign(endpoint: Endpoint) -> None:
    (only,) = [EndpointSecretFactory(endpoint=endpoint)]
    with pytest.raises(SecretKeptError, match="rotate the secret first"):
        revoke_secret(endpoint, only.pk, EVA)
    assert live(endpoint) == [only.pk]
    assert not AuditEntry.objects.exists()


def test_revoking_is_refused_when_only_one_that_ends_would_be_left(endpoint: Endpoint) -> None:
    """Tomorrow the endpoint would be without a signature."""
    EndpointSecretFactory(endpoint=endpoint)
    rotate_secret(endpoint, EVA)
    newest = endpoint.secrets.lasting().get()
    with pytest.raises(SecretKeptError):
        revoke_secret(endpoint, newest.pk, EVA)
    assert len(live(endpoint)) == 2


def test_revoking_is_refused_when_the_secret_is_over_or_anothers(endpoint: Endpoint) -> None:
    EndpointSecretFactory(endpoint=endpoint)
    over = EndpointSecretFactory(endpoint=endpoint, expires_at=timezone.now())
    other = EndpointSecretFactory()
    for secret in (over, other):
        with pytest.raises(SecretKeptError, match="does not sign any more"):
            revoke_secret(endpoint, secret.pk, EVA)
    assert EndpointSecret.objects.get(pk=other.pk).expires_at is None


def test_due_date_follows_the_endpoint_or_the_setting(settings: Any, endpoint: Endpoint) -> None:
    secret = EndpointSecretFactory(endpoint=endpoint)
    secret.refresh_from_db()
    assert age_of(secret).due_at == secret.created_at + timedelta(days=365)
    settings.SIGNING_KEY_ROTATE_DAYS = 90
    assert age_of(secret).due_at == secret.created_at + timedelta(days=90)
    secret.endpoint.rotate_every_days = 30
    assert age_of(secret).due_at == secret.created_at + timedelta(days=30)


def page(endpoint: Endpoint) -> str:
    return reverse("admin:subscriptions_endpoint_change", args=[endpoint.pk])


def form(**values: str) -> dict[str, str]:
    given = {"slug": "ci-cd", "url": "https://hooks.example.com/x", "content_mode": "structured", "timeout_s": "10"}
    return given | {"lane": "fast"} | NO_SECRETS | values


def test_admin_shows_ages_due_dates_and_public_keys_and_no_secret(ops: Client, endpoint: Endpoint) -> None:
    secret = add_secret(endpoint, EVA)
    endpoint.signing = Signing.ED25519
    public = rotate_secret(endpoint, EVA)
    text = ops.get(page(endpoint)).content.decode()
    assert public in text
    assert "due in 364 days" in text
    assert "whsk_" not in text
    assert secret not in text
    assert text.count("Revoke…") == 2


def test_new_kind_of_key_is_made_when_the_admin_changes_it(ops: Client, endpoint: Endpoint) -> None:
    add_secret(endpoint, EVA)
    text = ops.post(page(endpoint), form(signing="v1a", rotate_every_days="90"), follow=True).content.decode()
    newest = endpoint.secrets.lasting().get()
    assert newest.public_key in text
    assert newest.signing == "v1a"
    assert (
        newest.created_at + ROTATION_OVERLAP > endpoint.secrets.exclude(pk=newest.pk).get().expires_at > timezone.now()
    )
    endpoint.refresh_from_db()
    assert endpoint.rotate_every_days == 90
    changed = AuditEntry.objects.get(action="endpoint.changed").details
    assert (changed["signing"], changed["rotate_every_days"]) == (["v1", "v1a"], [None, 90])
    ops.post(page(endpoint), form(signing="v1a"), follow=True)
    assert endpoint.secrets.count() == 2


def test_secret_is_revoked_after_a_confirmation_when_the_admin_asks_for_it(ops: Client, endpoint: Endpoint) -> None:
    old = EndpointSecretFactory(endpoint=endpoint)
    rotate_secret(endpoint, EVA)
    address = reverse("admin:subscriptions_endpoint_revoke_secret", args=[endpoint.pk, old.pk])

    assert "signs no more as soon as you confirm" in ops.get(address).content.decode()
    assert len(live(endpoint)) == 2
    text = ops.post(address, follow=True).content.decode()

    assert f"Secret {old.pk} signs no more." in text
    assert len(live(endpoint)) == 1
    (last,) = live(endpoint)
    again = reverse("admin:subscriptions_endpoint_revoke_secret", args=[endpoint.pk, last])
    assert "Not revoked." in ops.post(again, follow=True).content.decode()
    assert live(endpoint) == [last]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.APPROVER])
def test_secret_is_not_revoked_when_the_user_may_not_change_endpoints(
    client: Client, endpoint: Endpoint, role: Role
) -> None:
    old = EndpointSecretFactory(endpoint=endpoint)
    rotate_secret(endpoint, EVA)
    client.force_login(UserFactory(roles=[(endpoint.tenant, role)]))
    address = reverse("admin:subscriptions_endpoint_revoke_secret", args=[endpoint.pk, old.pk])
    refusal = client.post(address)  # who may not use the admin at all is sent to its sign-in page
    assert refusal.status_code == 403 or refusal["Location"].startswith("/admin/login/")
    rival = UserFactory(roles=[(TenantFactory(), Role.TENANT_ADMIN)])
    client.force_login(rival)
    assert client.post(address).status_code == 404
    assert len(live(endpoint)) == 2


def test_ed25519_delivery_verifies_when_the_receiver_has_the_public_key(endpoint: Endpoint) -> None:
    """The message that the webhook channel builds, read as a receiver reads it."""
    endpoint.signing = Signing.ED25519
    public = add_secret(endpoint, EVA)
    sink = delivery_settings.reload().sinks[endpoint.pk]
    body = b'{"specversion":"1.0","id":"1","source":"/x","type":"a.b"}'

    headers = dict(build(sink, Sending(UUID(int=7), 1, body, 1_767_225_600)).headers)

    version, _, signature = headers["webhook-signature"].partition(",")
    assert version == "v1a"
    verifier = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    verifier.verify(base64.b64decode(signature), content)
