from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditEntry
from audit.trail import Actor
from eventcenter.access.keys import ApiKeyError, create_api_key, find, revoke_api_key
from eventcenter.access.models import ApiKey
from tests.factories import ApiKeyFactory, TenantFactory, UserFactory, text_of

pytestmark = pytest.mark.django_db
EVA = Actor("user:eva")


def test_key_is_found_by_its_text_and_kept_as_a_digest() -> None:
    person = UserFactory()
    made = create_api_key(TenantFactory().pk, "Dashboard", ["view"], Actor.of_user(person))
    found = find(made.text, timezone.now())
    assert found == made.key
    assert found.created_by_id == person.pk
    secret = made.text.partition(".")[2]
    assert len(secret) >= 43
    stored = ApiKey.objects.filter(pk=made.key.pk).values_list()[0]
    assert secret.encode() not in b"".join(bytes(v) if isinstance(v, memoryview) else str(v).encode() for v in stored)


def test_making_and_revoking_leave_entries_without_the_secret() -> None:
    made = create_api_key(TenantFactory(slug="acme").pk, "Dashboard", ["view"], EVA)
    assert revoke_api_key(made.key, EVA)
    assert not revoke_api_key(made.key, EVA)
    entries = AuditEntry.objects.filter(chain="acme").order_by("position")
    assert [entry.action for entry in entries] == ["api_key.created", "api_key.revoked"]
    secret = made.text.partition(".")[2]
    assert all(secret not in f"{entry.target}{entry.details}" for entry in entries)


@pytest.mark.parametrize("text", ["", "ak_x", "ak_x.y", ".", "ak_\x00.y", "ak_é.y", "\ud800.\ud800"])
def test_nothing_is_found_when_the_text_is_no_key(text: str) -> None:
    assert find(text, timezone.now()) is None


def test_key_is_not_found_when_the_secret_is_another_keys() -> None:
    key, other = ApiKeyFactory(), ApiKeyFactory(secret="another-one")
    assert find(text_of(key), timezone.now()) == key
    assert find(f"{other.key_id}.{ApiKeyFactory.secret}", timezone.now()) is None


def test_key_is_not_found_when_expired_revoked_or_its_tenant_inactive() -> None:
    now = timezone.now()
    key = ApiKeyFactory(expires_at=now + timedelta(seconds=5))
    assert find(text_of(key), now) == key
    assert find(text_of(key), now + timedelta(seconds=5)) is None
    revoked = ApiKeyFactory(revoked_at=now)
    assert find(text_of(revoked), now) is None
    orphan = ApiKeyFactory(tenant=TenantFactory(active=False))
    assert find(text_of(orphan), now) is None


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 101}),
        ("name", {"name": "a\nb"}),
        ("scopes", {"scopes": []}),
        ("scopes", {"scopes": ["view", "approve"]}),
        ("scopes", {"scopes": ["root"]}),
        ("expires_at", {"expires_at": timezone.now() - timedelta(days=1)}),
    ],
)
def test_wrong_field_is_named_and_nothing_is_kept(field: str, given: dict[str, object]) -> None:
    fields = {"name": "Dashboard", "scopes": ["view"], "actor": EVA} | given
    with pytest.raises(ApiKeyError) as caught:
        create_api_key(TenantFactory().pk, **fields)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert "takes" in str(caught.value)
    assert not ApiKey.objects.exists()


def test_key_is_not_found_when_its_makers_account_is_closed() -> None:
    maker = UserFactory()
    made = create_api_key(TenantFactory().pk, "Dashboard", ["view"], Actor.of_user(maker))
    assert find(made.text, timezone.now()) == made.key
    maker.is_active = False
    maker.save()
    assert find(made.text, timezone.now()) is None
