"""What the demo needs beside the subscriptions file: console users, a publish key and an API key. Never for production."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.contrib.auth import get_user_model
from django.db import transaction

from audit.trail import PLATFORM_CHAIN, Actor, record
from eventcenter.access import keys, members
from eventcenter.access.models import ApiKey
from eventcenter.access.roles import KEY_SCOPES, Role
from eventcenter.models import PublishKey
from eventcenter.publish_keys import create_publish_key, open_secret
from subscriptions.models import Endpoint, Tenant
from subscriptions.services import live_secrets

DEMO_TENANT = "artisan-cloud"
CONSOLE_USER = "ops"
# Besides the superuser: the second person that an approval needs, and one who may only look at the demo's tenant.
OTHER_USERS: Mapping[str, tuple[Role, bool]] = {"approver": (Role.APPROVER, True), "viewer": (Role.VIEWER, False)}
KEY_LABEL = "demo_"
API_KEY_NAME = "Demo"
ACTOR = Actor("system:load_demo")


class DemoError(Exception):
    """The demo cannot be made; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What `make run` writes down. `other_users` have the console user's password. `receiver_secrets`: an endpoint URL's
    path → the secrets that sign for it now."""

    tenant: str
    publish_key_id: str
    publish_secret: str
    console_user: str
    console_password: str
    other_users: list[str]
    api_key: str
    receiver_secrets: dict[str, list[str]]


def load_demo(console_password: str, receiver_url: str) -> Demo:
    """Idempotent. `console_password` empty: a new one is set. `receiver_url` empty: every endpoint is the receiver's."""
    tenant = Tenant.objects.filter(slug=DEMO_TENANT).first()
    if tenant is None:
        raise DemoError(f"There is no tenant {DEMO_TENANT}; run manage.py sync_subscriptions first.")
    with transaction.atomic():
        key, secret = _publish_key(tenant)
        password = _console_user(CONSOLE_USER, console_password or secrets.token_urlsafe(12), is_superuser=True)
        for name, (role, everywhere) in OTHER_USERS.items():
            _console_user(name, password, is_superuser=False)
            user = get_user_model().objects.get(username=name)
            members.grant(user, None if everywhere else tenant.pk, role, ACTOR)
        api_key = _api_key(tenant)
    receivers = _receiver_secrets(receiver_url)
    return Demo(tenant.slug, key.key_id, secret, CONSOLE_USER, password, list(OTHER_USERS), api_key, receivers)


def _publish_key(tenant: Tenant) -> tuple[PublishKey, str]:
    key = PublishKey.objects.filter(tenant=tenant, key_id__startswith=f"pk_{KEY_LABEL}", active=True).first()
    return (key, open_secret(key)) if key else create_publish_key(tenant.pk, "Demo pipeline", ACTOR, KEY_LABEL)


def _api_key(tenant: Tenant) -> str:
    """Only its digest is kept, so each start makes another and revokes the one before."""
    for old in ApiKey.objects.filter(tenant=tenant, name=API_KEY_NAME, revoked_at=None):
        keys.revoke_api_key(old, ACTOR)
    return keys.create_api_key(tenant.pk, API_KEY_NAME, KEY_SCOPES, ACTOR).text


def _console_user(name: str, password: str, *, is_superuser: bool) -> str:
    """Only the hash is kept, so without a wanted password a known user gets a new one. Left alone when it fits."""
    user, created = get_user_model().objects.get_or_create(
        username=name,
        defaults={"is_staff": is_superuser, "is_superuser": is_superuser, "email": f"{name}@example.com"},
    )
    if created or not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
        record(PLATFORM_CHAIN, ACTOR, "user.created" if created else "user.password_set", f"user:{user.pk}")
    return password


def _receiver_secrets(receiver_url: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for endpoint in Endpoint.objects.filter(url__startswith=receiver_url):
        found.setdefault(urlsplit(endpoint.url).path, []).extend(live_secrets(endpoint))
    return found
