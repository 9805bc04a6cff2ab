from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditEntry
from eventcenter.access.roles import KEY_SCOPES, Role
from eventcenter.models import ApiKey
from subscriptions.models import Tenant
from tests.api_caller import Caller, fields, signed_in, with_key
from tests.factories import ApiKeyFactory, TenantFactory, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


@pytest.fixture
def eva(acme: Tenant) -> Caller:
    return signed_in((acme, Role.TENANT_ADMIN))


def test_key_is_made_shown_once_used_and_revoked(eva: Caller, acme: Tenant) -> None:
    ends = (timezone.now() + timedelta(days=90)).isoformat()
    made = eva.post("api-keys", {"name": "CI", "scopes": ["view", "publish"], "expires_at": ends})
    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    text, key = made.json()["text"], made.json()["key"]
    assert text.startswith(key["id"] + ".")
    assert text.partition(".")[2] not in eva.get("api-keys").content.decode()
    program = Caller(eva.client.__class__(), {"authorization": f"Bearer {text}"})
    assert program.get("subscriptions").status_code == 200
    path = f"api-keys/{key['id']}"
    assert eva.post(f"{path}/revoke").json()["revoked_at"]
    assert program.get("subscriptions").status_code == 401
    assert eva.post(f"{path}/revoke").status_code == 409
    assert eva.get(path).json()["last_used_at"]
    assert [item["id"] for item in eva.get("api-keys?revoked=false").json()["items"]] == []
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert actions == {"api_key.created", "api_key.revoked"}


@pytest.mark.parametrize("asked_for", [None, 90])
def test_key_that_a_key_makes_ends_with_it_at_the_latest(acme: Tenant, asked_for: int | None) -> None:
    ends = timezone.now() + timedelta(days=1)
    key = ApiKeyFactory(tenant=acme, expires_at=ends)
    program = Caller(Client(), {"authorization": f"Bearer {text_of(key)}"})
    wanted = (timezone.now() + timedelta(days=asked_for)).isoformat() if asked_for else None
    made = program.post("api-keys", {"name": "CI", "scopes": ["view"], "expires_at": wanted})
    assert made.status_code == 201
    assert ApiKey.objects.get(key_id=made.json()["key"]["id"]).expires_at == ends


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "", "scopes": ["view"]}, "name"),
        ({"name": "a\u0001", "scopes": ["view"]}, "name"),
        ({"name": "CI", "scopes": []}, "scopes"),
        ({"name": "CI", "scopes": ["approve"]}, "scopes"),
        ({"name": "CI", "scopes": ["view"], "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "CI", "scopes": ["view"], "expires_at": "soon"}, "expires_at"),
    ],
)
def test_wrong_field_is_named(eva: Caller, body: dict[str, object], field: str) -> None:
    assert [name.partition(".")[0].partition("[")[0] for name in fields(eva.post("api-keys", body), 400)] == [field]
    assert not ApiKey.objects.exists()


def test_key_gives_no_scope_that_it_has_not(acme: Tenant) -> None:
    program = with_key(acme, "administer")
    refused = program.post("api-keys", {"name": "x", "scopes": ["administer", "publish"]})
    assert refused.status_code == 403
    assert ApiKey.objects.count() == 1
    assert program.post("api-keys", {"name": "x", "scopes": ["administer"]}).status_code == 201


def test_keys_are_an_admins_matter(acme: Tenant) -> None:
    key = ApiKeyFactory(tenant=acme)
    viewer, other = signed_in((acme, Role.OPERATOR)), with_key(TenantFactory(), *KEY_SCOPES)
    assert viewer.get("api-keys").status_code == 403
    assert viewer.get(f"api-keys/{key.key_id}").status_code == 403
    assert other.get(f"api-keys/{key.key_id}").status_code == 404
    assert other.post(f"api-keys/{key.key_id}/revoke").status_code == 404
    assert key.key_id not in other.get("api-keys").content.decode()
    key.refresh_from_db()
    assert key.revoked_at is None
